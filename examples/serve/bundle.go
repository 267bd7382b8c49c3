package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	bundleFormat = 1
	manifestFile = "manifest.json"
	casesFile    = "cases.json"
	sumsFile     = "SHA256SUMS"
)

// nulls are the values that stand for null; in floats it is NaN.
type nulls struct {
	Int64 int64  `json:"int64"`
	Text  string `json:"text"`
}

// input is one column of a request.
type input struct {
	Name     string `json:"name"`
	DType    string `json:"dtype"`
	Kind     string `json:"kind"`
	Position int    `json:"position"`
	Length   *int   `json:"length"`

	number, kind int
	low, high    int64
}

// step is the graph of one score.
type step struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	File     string   `json:"file"`
	Matrices []string `json:"matrices"`
	Reads    []string `json:"reads"`
	Columns  []string `json:"columns"`

	session session
	needs   []int // numbers of the columns
}

// bundle is one that was loaded and has answered its cases. Requests hold it while they use it.
type bundle struct {
	Format    int            `json:"format"`
	Run       string         `json:"run"`
	Chosen    string         `json:"chosen"`
	Tolerance float64        `json:"tolerance"`
	Null      nulls          `json:"null"`
	Widths    map[string]int `json:"widths"`
	Inputs    []*input       `json:"inputs"`
	Steps     []*step        `json:"steps"`

	manifest []byte
	width    [nKinds]int
	columns  map[string]*input
	steps    map[string]*step
	users    sync.WaitGroup
	nCases   int
}

// loadBundle reads a bundle, checks the digests of its files and lets it answer its golden cases.
func loadBundle(folder string) (*bundle, error) {
	folder, err := filepath.EvalSymlinks(folder) // so that a link that is put elsewhere meanwhile mixes no two bundles
	if err != nil {
		return nil, err
	}
	files, err := checkedFiles(folder)
	if err != nil {
		return nil, err
	}
	b := &bundle{manifest: files[manifestFile], columns: map[string]*input{}, steps: map[string]*step{}}
	if err := json.Unmarshal(b.manifest, b); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", manifestFile, err)
	}
	if b.Format != bundleFormat {
		return nil, fmt.Errorf("the bundle has format %d, this server reads %d: export the run again", b.Format, bundleFormat)
	}
	if err := b.arrange(); err != nil {
		return nil, fmt.Errorf("%s is not that of a bundle: %w", manifestFile, err)
	}
	for _, s := range b.Steps {
		if err := b.load(folder, s, files); err != nil {
			b.close()
			return nil, err
		}
	}
	if err := b.answer(files[casesFile]); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// checkedFiles compares every file of the folder with its digest, and gives those that are read here.
func checkedFiles(folder string) (map[string][]byte, error) {
	sums, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		return nil, fmt.Errorf("%s is no bundle: %w", folder, err)
	}
	found := map[string][]byte{}
	for _, line := range strings.Split(strings.TrimSuffix(string(sums), "\n"), "\n") {
		digest, name, isPair := strings.Cut(line, "  ")
		if !isPair || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("%s has a line that is none: %q", sumsFile, line)
		}
		data, err := checkedFile(filepath.Join(folder, name), digest)
		if err != nil {
			return nil, err
		}
		found[name] = data
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, isListed := found[e.Name()]; !isListed && e.Name() != sumsFile {
			return nil, fmt.Errorf("the bundle holds %q, which %s does not name", e.Name(), sumsFile)
		}
	}
	if found[manifestFile] == nil || found[casesFile] == nil {
		return nil, fmt.Errorf("the bundle lacks %s or %s", manifestFile, casesFile)
	}
	return found, nil
}

// checkedFile gives what a JSON file holds; of the others, which onnxruntime reads itself, only that they are right.
func checkedFile(path, digest string) ([]byte, error) {
	facts, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("the bundle lacks a file: %w", err)
	}
	if !facts.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no plain file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var kept bytes.Buffer
	hash := sha256.New()
	to := io.Writer(hash)
	if strings.HasSuffix(path, ".json") {
		to = io.MultiWriter(hash, &kept)
	}
	if _, err := io.Copy(to, file); err != nil {
		return nil, err
	}
	if hex.EncodeToString(hash.Sum(nil)) != digest {
		return nil, fmt.Errorf("%s is not what was exported: its digest is another one", path)
	}
	return kept.Bytes(), nil
}

// arrange looks names and kinds up, once.
func (b *bundle) arrange() error {
	kinds := map[string]int{}
	for k, name := range kindNames {
		kinds[name], b.width[k] = k, b.Widths[name]
	}
	for number, c := range b.Inputs {
		kind, isKnown := kinds[c.Kind]
		wide := 1
		if c.Length != nil {
			wide = *c.Length
		}
		if !isKnown || c.Position < 0 || wide < 0 || c.Position+wide > b.width[kind] || b.columns[c.Name] != nil {
			return fmt.Errorf("the column %q has no place", c.Name)
		}
		c.number, c.kind = number, kind
		c.low, c.high = bounds(c.DType)
		b.columns[c.Name] = c
	}
	for _, s := range b.Steps {
		for _, name := range s.Columns {
			c := b.columns[name]
			if c == nil {
				return fmt.Errorf("%s reads %q, which is no input", s.Name, name)
			}
			s.needs = append(s.needs, c.number)
		}
		for _, model := range s.Reads { // of models before it only, so there is no circle
			if b.steps[model] == nil {
				return fmt.Errorf("%s reads %q, which does not come before it", s.Name, model)
			}
		}
		b.steps[s.Name] = s
	}
	if b.steps[b.Chosen] == nil {
		return fmt.Errorf("there is no graph of %q, which was chosen", b.Chosen)
	}
	return nil
}

// bounds are the least and greatest value of a whole number's dtype, within those of 64 bits with a sign.
func bounds(dtype string) (int64, int64) {
	switch dtype {
	case "Int8":
		return math.MinInt8, math.MaxInt8
	case "Int16":
		return math.MinInt16, math.MaxInt16
	case "Int32":
		return math.MinInt32, math.MaxInt32
	case "UInt8":
		return 0, math.MaxUint8
	case "UInt16":
		return 0, math.MaxUint16
	case "UInt32":
		return 0, math.MaxUint32
	case "UInt64":
		return 0, math.MaxInt64
	}
	return math.MinInt64 + 1, math.MaxInt64 // the least stands for null
}

// expected says what a value of the column is.
func (c *input) expected() string {
	switch {
	case c.kind == kindText:
		return "a text"
	case c.DType == "Boolean":
		return "true or false"
	case c.kind == kindInt64:
		return fmt.Sprintf("a whole number from %d to %d", c.low, c.high)
	}
	return "a number that " + c.DType + " can hold"
}

func (b *bundle) load(folder string, s *step, files map[string][]byte) error {
	if _, isListed := files[s.File]; !isListed {
		return fmt.Errorf("the graph of %s is not in the bundle", s.Name)
	}
	var kinds [nKinds]bool
	for k, name := range kindNames {
		for _, read := range s.Matrices {
			kinds[k] = kinds[k] || read == name
		}
	}
	var err error
	if s.session, err = loadSession(filepath.Join(folder, s.File), kinds, s.Reads); err != nil {
		return fmt.Errorf("the graph of %s cannot be loaded: %w", s.Name, err)
	}
	return nil
}

// answer compares the scores of the golden cases with Python's.
func (b *bundle) answer(cases []byte) error {
	var all []struct {
		Name    string               `json:"name"`
		Columns json.RawMessage      `json:"columns"`
		Scores  map[string][]float64 `json:"scores"`
	}
	if err := json.Unmarshal(cases, &all); err != nil || len(all) == 0 {
		return fmt.Errorf("%s holds no cases", casesFile)
	}
	for _, c := range all {
		p := &parser{body: c.Columns, bundle: b, most: math.MaxInt32}
		m, err := p.columns()
		if err != nil {
			return fmt.Errorf("the case %q cannot be read: %w", c.Name, err)
		}
		for name, expected := range c.Scores {
			if err := b.compare(m, name, expected); err != nil {
				m.free()
				return fmt.Errorf("in the case %q %w", c.Name, err)
			}
		}
		m.free()
		b.nCases++
	}
	return nil
}

func (b *bundle) compare(m *matrices, name string, expected []float64) error {
	if b.steps[name] == nil {
		return fmt.Errorf("there is a score %q without a graph", name)
	}
	found, _, err := b.score(m, name)
	if err != nil {
		return err
	}
	if len(found) != len(expected) {
		return fmt.Errorf("%s gives %d scores for %d pairs", name, len(found), len(expected))
	}
	for i, score := range found {
		if !(math.Abs(score-expected[i]) <= b.Tolerance) {
			return fmt.Errorf("%s gives the score %g, Python gave %g", name, score, expected[i])
		}
	}
	return nil
}

// score runs the graphs that a score takes, and says how long onnxruntime took. The scores lie in the matrices' memory.
func (b *bundle) score(m *matrices, name string) ([]float64, time.Duration, error) {
	began := time.Now()
	if !m.isReady {
		m.isReady = true
		if err := m.ready(); err != nil {
			return nil, 0, err
		}
	}
	found := map[string][]float64{}
	err := b.run(m, b.steps[name], found)
	return found[name], time.Since(began), err
}

func (b *bundle) run(m *matrices, s *step, found map[string][]float64) error {
	reads := make([][]float64, len(s.Reads))
	for i, model := range s.Reads {
		if found[model] == nil {
			if err := b.run(m, b.steps[model], found); err != nil {
				return err
			}
		}
		reads[i] = found[model]
	}
	scores, err := m.scores(s.session, reads)
	if err != nil {
		return fmt.Errorf("onnxruntime could not compute %s: %w", s.Name, err)
	}
	found[s.Name] = scores
	return nil
}

// missing names a column that the score takes and the request does not give.
func (b *bundle) missing(name string, seen []bool) []string {
	var names []string
	for _, number := range b.steps[name].needs {
		if !seen[number] {
			names = append(names, b.Inputs[number].Name)
		}
	}
	return names
}

// close waits for the requests that hold the bundle, and frees its graphs.
func (b *bundle) close() {
	b.users.Wait()
	for _, s := range b.Steps {
		if s.session.c != nil {
			s.session.close()
		}
	}
}
