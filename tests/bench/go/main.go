// Command bench takes one sample of a Go multiplexer and prints it as JSON, in
// the form that muxado-bench records.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// plan says how a workload is run.
type plan struct {
	time   time.Duration
	warmUp time.Duration
	full   bool
}

func main() {
	contestant := flag.String("contestant", "", "go-tcp, go-muxado, go-yamux or go-smux")
	workload := flag.String("workload", "", "as muxado-bench names it")
	millis := flag.Int("time", 250, "milliseconds to measure")
	check := flag.String("check", "sampled", "how much of the contents is compared: sampled or full")
	congestion := flag.String("congestion", "", "the congestion control of all sockets")
	versions := flag.Bool("versions", false, "print the versions of the modules instead")
	flag.Parse()
	if *versions {
		printVersions()
		return
	}
	// As the shared runtime of the others: two workers for both ends.
	runtime.GOMAXPROCS(2)
	span := time.Duration(*millis) * time.Millisecond
	outcome, err := run(*contestant, *workload, *congestion,
		plan{time: span, warmUp: span / 4, full: *check == "full"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcome); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Sessions are not closed: that would measure nothing.
	os.Exit(0)
}

func run(contestant, workload, congestion string, p plan) (*outcome, error) {
	mux, ok := muxes[contestant]
	if !ok {
		return nil, fmt.Errorf("there is no contestant %q", contestant)
	}
	name, cell, _ := strings.Cut(workload, "/")
	work, err := parse(name, cell)
	if err != nil {
		return nil, fmt.Errorf("workload %q: %w", workload, err)
	}
	open, accept, err := pair(mux, congestion)
	if err != nil {
		return nil, err
	}
	return work(open, accept, p)
}

// parse finds the workload of a name.
func parse(name, cell string) (work, error) {
	switch name {
	case "ping-pong":
		return pingPong, nil
	case "request":
		inflight, err := strconv.Atoi(cell)
		return request(inflight), err
	case "bulk":
		streams, write, err := grid(cell)
		return bulk(streams, write), err
	case "echo":
		streams, payload, err := grid(cell)
		return echo(streams, payload, 256<<10), err
	case "echo-while-reading":
		streams, payload, err := grid(cell)
		return echo(streams, payload, 32<<10), err
	case "beside":
		small, streams, found := strings.Cut(cell, "/")
		if !found {
			return nil, fmt.Errorf("it needs a number of streams")
		}
		n, err := strconv.Atoi(streams)
		return beside(small == "request", n), err
	}
	return nil, fmt.Errorf("the Go program does not have it")
}

// grid parses a cell such as 8x64KiB.
func grid(cell string) (streams, bytes int, err error) {
	count, size, _ := strings.Cut(cell, "x")
	unit := 1
	for suffix, factor := range map[string]int{"MiB": 1 << 20, "KiB": 1 << 10} {
		if digits, found := strings.CutSuffix(size, suffix); found {
			size, unit = digits, factor
		}
	}
	if streams, err = strconv.Atoi(count); err != nil {
		return 0, 0, err
	}
	bytes, err = strconv.Atoi(strings.TrimSuffix(size, "B"))
	return streams, bytes * unit, err
}

// printVersions prints the Go version and those of the modules, as JSON.
func printVersions() {
	versions := map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			versions[module.Path] = strings.TrimPrefix(module.Version, "v")
		}
	}
	json.NewEncoder(os.Stdout).Encode(versions)
}
