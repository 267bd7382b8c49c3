package main

import (
	"fmt"
	"io"
	"sort"
	"sync"
	"time"
)

// Upper bounds of the histogram of seconds.
var buckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// counts are what Prometheus reads at /metrics.
type counts struct {
	mutex          sync.Mutex
	requests       map[int]int64
	pairs          int64
	within         []int64
	seconds        float64
	inside         float64
	done, rejected int64 // reloads
}

func newCounts() *counts {
	return &counts{requests: map[int]int64{}, within: make([]int64, len(buckets)+1)}
}

// answered counts a request. inside: the part of it that onnxruntime took.
func (c *counts) answered(code, pairs int, total, inside time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests[code]++
	c.pairs += int64(pairs)
	c.seconds += total.Seconds()
	c.inside += inside.Seconds()
	c.within[sort.SearchFloat64s(buckets, total.Seconds())]++
}

func (c *counts) reloaded(isDone bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if isDone {
		c.done++
	} else {
		c.rejected++
	}
}

func (c *counts) write(w io.Writer, open int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	fmt.Fprint(w, "# HELP serve_requests_total Requests for scores, by status.\n# TYPE serve_requests_total counter\n")
	codes := make([]int, 0, len(c.requests))
	for code := range c.requests {
		codes = append(codes, code)
	}
	sort.Ints(codes)
	for _, code := range codes {
		fmt.Fprintf(w, "serve_requests_total{code=\"%d\"} %d\n", code, c.requests[code])
	}
	fmt.Fprintf(w, "# HELP serve_pairs_total Pairs scored.\n# TYPE serve_pairs_total counter\nserve_pairs_total %d\n", c.pairs)
	fmt.Fprint(w, "# HELP serve_request_seconds Seconds from a request to its answer.\n# TYPE serve_request_seconds histogram\n")
	sum := int64(0)
	for i, bound := range buckets {
		sum += c.within[i]
		fmt.Fprintf(w, "serve_request_seconds_bucket{le=\"%g\"} %d\n", bound, sum)
	}
	sum += c.within[len(buckets)]
	fmt.Fprintf(w, "serve_request_seconds_bucket{le=\"+Inf\"} %d\n", sum)
	fmt.Fprintf(w, "serve_request_seconds_sum %g\nserve_request_seconds_count %d\n", c.seconds, sum)
	fmt.Fprintf(w, "# HELP serve_onnxruntime_seconds_total Seconds within onnxruntime.\n# TYPE serve_onnxruntime_seconds_total counter\nserve_onnxruntime_seconds_total %g\n", c.inside)
	fmt.Fprintf(w, "# HELP serve_reloads_total Bundles read again.\n# TYPE serve_reloads_total counter\nserve_reloads_total{result=\"done\"} %d\nserve_reloads_total{result=\"refused\"} %d\n", c.done, c.rejected)
	fmt.Fprintf(w, "# HELP serve_open_requests Requests under way.\n# TYPE serve_open_requests gauge\nserve_open_requests %d\n", open)
}
