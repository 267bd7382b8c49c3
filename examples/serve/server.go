package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server answers requests with the bundle that is current when they come.
type server struct {
	options options
	open    chan struct{} // one place for each request that is under way
	atOnce  chan struct{} // one place for each that is computed
	counts  *counts

	mutex   sync.RWMutex
	current *bundle
	loaded  time.Time
	problem string // of the last reload
}

func newServer(b *bundle, o options) *server {
	return &server{
		options: o,
		open:    make(chan struct{}, o.maxOpen),
		atOnce:  make(chan struct{}, o.atOnce),
		counts:  newCounts(),
		current: b,
		loaded:  time.Now(),
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/score", s.score)
	mux.HandleFunc("/score/", s.score)
	mux.HandleFunc("/inputs", s.inputs)
	mux.HandleFunc("/health", s.health)
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s.counts.write(w, len(s.open))
	})
	return mux
}

// hold gives the current bundle, which stays until it is let go: `b.users.Done()`.
func (s *server) hold() *bundle {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	s.current.users.Add(1)
	return s.current
}

// reload puts the folder's bundle in the place of the current one; one that is damaged leaves all as it is.
func (s *server) reload() {
	b, err := loadBundle(s.options.folder)
	s.counts.reloaded(err == nil)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil {
		s.problem = err.Error()
		log.Printf("the bundle was not reloaded, run %s goes on: %v", s.current.Run, err)
		return
	}
	go s.current.close()
	s.current, s.loaded, s.problem = b, time.Now(), ""
	log.Printf("reloaded: run %s", b.Run)
}

// score answers POST /score, with what was chosen, and POST /score/NAME.
func (s *server) score(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	select {
	case s.open <- struct{}{}:
		defer func() { <-s.open }()
	default:
		w.Header().Set("Retry-After", "1")
		s.fail(w, http.StatusServiceUnavailable, "The server has as many requests as it takes. Send it again.", began)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.fail(w, http.StatusMethodNotAllowed, "Scores are asked for by POST.", began)
		return
	}
	body, err := readBody(w, r, s.options.maxBytes)
	if err != nil {
		s.fail(w, http.StatusRequestEntityTooLarge, err.Error(), began)
		return
	}
	read := time.Since(began)
	b := s.hold()
	defer b.users.Done()
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/score"), "/")
	if name == "" {
		name = b.Chosen
	}
	if b.steps[name] == nil {
		s.fail(w, http.StatusNotFound, fmt.Sprintf("There is no score %s.\nExpected: one of %s", quoted(name), b.names()), began)
		return
	}
	s.atOnce <- struct{}{}
	answer, n, inside, err := s.answer(b, name, body)
	<-s.atOnce
	var wrong refusal
	if errors.As(err, &wrong) {
		s.fail(w, http.StatusBadRequest, wrong.text, began)
		return
	}
	if err != nil {
		log.Print(err)
		s.fail(w, http.StatusInternalServerError, "The scores could not be computed; the server's log says why.", began)
		return
	}
	total := time.Since(began)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Server-Timing", fmt.Sprintf("read;dur=%.3f, onnxruntime;dur=%.3f, total;dur=%.3f", millis(read), millis(inside), millis(total)))
	s.counts.answered(http.StatusOK, n, total, inside)
	w.Write(answer)
}

// answer reads the request, computes and writes the reply. Whatever happens, its place is given back.
func (s *server) answer(b *bundle, name string, body []byte) (reply []byte, n int, inside time.Duration, err error) {
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("a request of %d bytes: %v", len(body), found)
		}
	}()
	m, seen, err := parseBody(body, b, s.options.maxPairs)
	if err != nil {
		return nil, 0, 0, err
	}
	defer m.free()
	if missing := b.missing(name, seen); len(missing) > 0 {
		return nil, 0, 0, refuse("The request lacks %d columns: %s.\nExpected: every column that %s is made of; null is a value",
			len(missing), shortened(missing), name)
	}
	scores, inside, err := b.score(m, name)
	if err != nil {
		return nil, 0, 0, err
	}
	reply = make([]byte, 0, 64+20*len(scores))
	reply = append(reply, `{"run":`...)
	reply = strconv.AppendQuote(reply, b.Run)
	reply = append(reply, `,"score":`...)
	reply = strconv.AppendQuote(reply, name)
	reply = append(reply, `,"scores":[`...)
	for i, score := range scores {
		if math.IsNaN(score) || math.IsInf(score, 0) {
			return nil, 0, 0, fmt.Errorf("%s gave a score that is not finite", name)
		}
		if i > 0 {
			reply = append(reply, ',')
		}
		reply = strconv.AppendFloat(reply, score, 'g', -1, 64)
	}
	return append(reply, "]}\n"...), len(scores), inside, nil
}

// readBody reads a whole body, or says that it is too long or broke off.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, fmt.Errorf("The request has %d bytes.\nExpected: %d at most", r.ContentLength, most)
	}
	reader := http.MaxBytesReader(w, r.Body, most)
	var body bytes.Buffer
	if r.ContentLength > 0 { // but no memory for what may never come
		body.Grow(int(min(r.ContentLength+bytes.MinRead, 1<<20)))
	}
	if _, err := body.ReadFrom(reader); err != nil {
		return nil, fmt.Errorf("The request is longer than %d bytes, or broke off.", most)
	}
	return body.Bytes(), nil
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func (s *server) inputs(w http.ResponseWriter, r *http.Request) {
	b := s.hold()
	defer b.users.Done()
	w.Header().Set("Content-Type", "application/json")
	w.Write(b.manifest)
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	s.mutex.RLock()
	b, facts := s.current, map[string]any{"status": "ok", "loaded": s.loaded.UTC().Format(time.RFC3339)}
	facts["last_reload"] = s.problem
	s.mutex.RUnlock()
	facts["run"], facts["chosen"], facts["scores"] = b.Run, b.Chosen, strings.Split(b.names(), ", ")
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(facts)
}

func (s *server) fail(w http.ResponseWriter, code int, text string, began time.Time) {
	s.counts.answered(code, 0, time.Since(began), 0)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]string{"error": text})
}

// names are those of the scores.
func (b *bundle) names() string {
	names := make([]string, len(b.Steps))
	for i, s := range b.Steps {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

func shortened(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
