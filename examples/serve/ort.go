package main

// #cgo CFLAGS: -std=gnu11 -O2 -Wall
// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "ort.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

const (
	kindFloat32 = iota
	kindFloat64
	kindInt64
	kindText
	nKinds
)

var kindNames = [nKinds]string{"float32", "float64", "int64", "text"}

// openRuntime opens onnxruntime's C library and gives its version.
func openRuntime(library string) (string, error) {
	path := C.CString(library)
	defer C.free(unsafe.Pointer(path))
	if err := failure(C.ort_open(path)); err != nil {
		return "", fmt.Errorf("%s cannot be opened: %w", library, err)
	}
	return C.GoString(C.ort_version()), nil
}

// failure turns a message of C, which is freed, into an error.
func failure(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New(C.GoString(message))
}

// session is one graph that was loaded.
type session struct{ c *C.ort_session }

func loadSession(file string, kinds [nKinds]bool, reads []string) (session, error) {
	path := C.CString(file)
	defer C.free(unsafe.Pointer(path))
	var flags [nKinds]C.int
	for k, isRead := range kinds {
		if isRead {
			flags[k] = 1
		}
	}
	names := newCStrings(len(reads))
	defer names.free()
	for i, model := range reads {
		names.set(i, "score_"+model)
	}
	var made *C.ort_session
	err := failure(C.ort_load(path, &flags[0], names.c, C.int(len(reads)), &made))
	return session{made}, err
}

func (s session) close() { C.ort_close(s.c) }

// cStrings is an array of strings in C's memory.
type cStrings struct {
	c   **C.char
	all []*C.char
}

func newCStrings(n int) cStrings {
	c := (**C.char)(C.calloc(C.size_t(n+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	return cStrings{c, unsafe.Slice(c, n+1)[:n]}
}

func (s cStrings) set(i int, text string) {
	C.free(unsafe.Pointer(s.all[i]))
	s.all[i] = C.CString(text)
}

func (s cStrings) free() {
	for _, text := range s.all {
		C.free(unsafe.Pointer(text))
	}
	C.free(unsafe.Pointer(s.c))
}

// matrices are what graphs read of the pairs of a request, in C's memory; what was not set is null.
type matrices struct {
	n       int
	isReady bool
	width   [nKinds]int
	float32 []float32
	float64 []float64
	int64   []int64
	text    []string
	c       C.ort_request
	texts   cStrings
	blocks  []unsafe.Pointer
}

func (m *matrices) block(n int, size uintptr) unsafe.Pointer {
	p := C.malloc(C.size_t(uintptr(n)*size + 8))
	m.blocks = append(m.blocks, p)
	return p
}

// newMatrices makes matrices of n pairs that hold nulls.
func newMatrices(n int, nulls nulls, width [nKinds]int) *matrices {
	m := &matrices{n: n, width: width}
	m.c.n = C.int64_t(n)
	for k, w := range width {
		m.c.width[k] = C.int64_t(w)
	}
	if size := n * width[kindFloat32]; size > 0 {
		m.c.float32 = (*C.float)(m.block(size, 4))
		m.float32 = unsafe.Slice((*float32)(unsafe.Pointer(m.c.float32)), size)
		fill(m.float32, float32(nan))
	}
	if size := n * width[kindFloat64]; size > 0 {
		m.c.float64 = (*C.double)(m.block(size, 8))
		m.float64 = unsafe.Slice((*float64)(unsafe.Pointer(m.c.float64)), size)
		fill(m.float64, nan)
	}
	if size := n * width[kindInt64]; size > 0 {
		m.c.int64 = (*C.int64_t)(m.block(size, 8))
		m.int64 = unsafe.Slice((*int64)(unsafe.Pointer(m.c.int64)), size)
		fill(m.int64, nulls.Int64)
	}
	m.text = make([]string, n*width[kindText])
	fill(m.text, nulls.Text)
	return m
}

func fill[T any](values []T, value T) {
	for i := range values {
		values[i] = value
	}
}

// ready hands the matrices over to onnxruntime. Nothing is set after it.
func (m *matrices) ready() error {
	if len(m.text) > 0 {
		m.texts = newCStrings(len(m.text))
		for i, text := range m.text {
			m.texts.set(i, text)
		}
		m.c.texts = m.texts.c
	}
	return failure(C.ort_values(&m.c))
}

// scores runs a graph. reads: the scores, in C's memory, of the models that it reads.
func (m *matrices) scores(s session, reads [][]float64) ([]float64, error) {
	pointers := (**C.double)(C.calloc(C.size_t(len(reads)+1), C.size_t(unsafe.Sizeof((*C.double)(nil)))))
	defer C.free(unsafe.Pointer(pointers))
	for i, scores := range reads {
		unsafe.Slice(pointers, len(reads))[i] = (*C.double)(unsafe.Pointer(&scores[0]))
	}
	result := (*C.double)(m.block(m.n, 8))
	if err := failure(C.ort_run(s.c, &m.c, pointers, result)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(result)), m.n), nil
}

// free gives the memory back. What scores gave is gone with it.
func (m *matrices) free() {
	C.ort_forget(&m.c)
	if m.c.texts != nil {
		m.texts.free()
	}
	for _, p := range m.blocks {
		C.free(p)
	}
}
