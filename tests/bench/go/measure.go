package main

import (
	"slices"
	"syscall"
	"time"
)

// outcome is what a sample gives; muxado-bench reads it.
type outcome struct {
	Ops     uint64             `json:"ops"`
	Bytes   uint64             `json:"bytes"`
	Usage   usage              `json:"usage"`
	Latency *latency           `json:"latency,omitempty"`
	Also    map[string]float64 `json:"also,omitempty"`
}

// usage is time spent, by the clock and by the CPUs, in seconds.
type usage struct {
	Wall   float64 `json:"wall"`
	User   float64 `json:"user"`
	System float64 `json:"system"`
	Waits  int64   `json:"waits"`
}

// latency is in nanoseconds.
type latency struct {
	P50  uint64 `json:"p50"`
	P90  uint64 `json:"p90"`
	P99  uint64 `json:"p99"`
	P999 uint64 `json:"p999"`
	Max  uint64 `json:"max"`
}

// meter measures usage from its start on.
type meter struct {
	began  time.Time
	before usage
}

func process() usage {
	var r syscall.Rusage
	// It fails only for arguments that are not these.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return usage{User: seconds(r.Utime), System: seconds(r.Stime), Waits: r.Nvcsw}
}

func startMeter() meter { return meter{before: process(), began: time.Now()} }

func (m meter) stop() usage {
	wall, after := time.Since(m.began).Seconds(), process()
	return usage{
		Wall:   wall,
		User:   after.User - m.before.User,
		System: after.System - m.before.System,
		Waits:  after.Waits - m.before.Waits,
	}
}

// percentiles sorts the durations. It returns nil if there are none.
func percentiles(times []time.Duration) *latency {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	// Of n values, the one at rank ceil(q*n), as in the Rust program.
	at := func(mille int) uint64 {
		rank := (len(times)*mille + 999) / 1000
		return uint64(times[max(rank, 1)-1])
	}
	return &latency{P50: at(500), P90: at(900), P99: at(990), P999: at(999), Max: at(1000)}
}
