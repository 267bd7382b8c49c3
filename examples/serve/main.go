// Serve answers requests for scores with a bundle that `python -m models export` wrote. It needs no Python, no network but
// its own port, and onnxruntime's C library.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

type options struct {
	folder, library, address  string
	maxBytes                  int64
	maxPairs, maxOpen, atOnce int
	isCheck                   bool
}

func main() {
	log.SetFlags(log.LstdFlags | log.Lmsgprefix)
	var o options
	flag.StringVar(&o.folder, "bundle", "", "folder of the bundle; read again on SIGHUP")
	flag.StringVar(&o.library, "lib", "libonnxruntime.so", "onnxruntime's C library")
	flag.StringVar(&o.address, "addr", "127.0.0.1:8000", "address to listen at")
	flag.Int64Var(&o.maxBytes, "max-bytes", 8<<20, "bytes of a request at most")
	flag.IntVar(&o.maxPairs, "max-pairs", 5000, "pairs of a request at most")
	flag.IntVar(&o.maxOpen, "max-open", 4096, "requests at a time; beyond that they are told to come again")
	flag.IntVar(&o.atOnce, "at-once", runtime.NumCPU(), "requests that are computed at a time; the others wait")
	flag.BoolVar(&o.isCheck, "check", false, "check the bundle and stop")
	flag.Parse()
	if o.folder == "" || flag.NArg() > 0 || o.atOnce < 1 || o.maxPairs < 1 || o.maxOpen < 1 || o.maxBytes < 1 {
		flag.Usage()
		os.Exit(2)
	}
	version, err := openRuntime(o.library)
	if err != nil {
		log.Fatal(err)
	}
	b, err := loadBundle(o.folder)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("run %s: %d scores, %d golden cases as in Python, onnxruntime %s", b.Run, len(b.Steps), b.nCases, version)
	if o.isCheck {
		return
	}
	if err := serve(newServer(b, o)); err != nil {
		log.Fatal(err)
	}
}

// serve listens until a signal ends it; requests that are under way are finished then.
func serve(s *server) error {
	server := &http.Server{
		Addr:              s.options.address,
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    1 << 16,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan error, 1)
	go func() {
		for signal := range signals {
			if signal == syscall.SIGHUP {
				s.reload()
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			done <- server.Shutdown(ctx)
			cancel()
			return
		}
	}()
	log.Printf("listening at http://%s", s.options.address)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}
