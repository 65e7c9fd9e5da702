package gopeer

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// maxErrorTexts bounds the errors that a report lists; all are counted.
const maxErrorTexts = 10

// report is the summary line of one session.
type report struct {
	mu sync.Mutex

	Event      string            `json:"event"`
	Library    string            `json:"library"`
	Role       string            `json:"role"`
	OK         bool              `json:"ok"`
	ErrorCount int               `json:"error_count"`
	Errors     []string          `json:"errors"`
	Opened     int               `json:"opened"`
	Accepted   int               `json:"accepted"`
	Completed  int               `json:"completed"`
	BytesRead  int64             `json:"bytes_read"`
	BytesSent  int64             `json:"bytes_sent"`
	Serve      map[string]int    `json:"serve_errors"`
	Resets     map[string]int    `json:"resets"`
	Beats      int               `json:"beats"`
	Timeouts   int               `json:"beat_timeouts"`
	RTTMicros  []int64           `json:"rtt_us"`
	End        map[string]string `json:"end"`
	ElapsedMS  int64             `json:"elapsed_ms"`

	beat chan struct{}
}

func newReport(library Library, o *options) *report {
	return &report{
		Event:     "summary",
		Library:   library.Name,
		Role:      o.role,
		Errors:    []string{},
		Serve:     map[string]int{},
		Resets:    map[string]int{},
		RTTMicros: []int64{},
		End:       map[string]string{},
		beat:      make(chan struct{}, 1),
	}
}

// fail counts an error that makes this peer's run a failure.
func (r *report) fail(format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ErrorCount++
	if len(r.Errors) < maxErrorTexts {
		r.Errors = append(r.Errors, fmt.Sprintf(format, arguments...))
	}
}

// serveError counts an error of a served stream. The side that drove the stream
// decides whether it matters.
func (r *report) serveError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Serve[err.Error()]++
}

func (r *report) opened()    { r.mu.Lock(); r.Opened++; r.mu.Unlock() }
func (r *report) accepted()  { r.mu.Lock(); r.Accepted++; r.mu.Unlock() }
func (r *report) completed() { r.mu.Lock(); r.Completed++; r.mu.Unlock() }

func (r *report) moved(read, sent int64) {
	r.mu.Lock()
	r.BytesRead += read
	r.BytesSent += sent
	r.mu.Unlock()
}

func (r *report) reset(code uint32) {
	r.mu.Lock()
	r.Resets[fmt.Sprint(code)]++
	r.mu.Unlock()
}

// onBeat is the heartbeat callback.
func (r *report) onBeat(rtt time.Duration, timeout bool) {
	r.mu.Lock()
	if timeout {
		r.Timeouts++
	} else {
		r.Beats++
		if len(r.RTTMicros) < maxErrorTexts {
			r.RTTMicros = append(r.RTTMicros, rtt.Microseconds())
		}
	}
	r.mu.Unlock()
	select {
	case r.beat <- struct{}{}:
	default:
	}
}

func (r *report) beats() (beats, timeouts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Beats, r.Timeouts
}

var stdout sync.Mutex

// printLine writes one JSON line to standard output.
func printLine(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err) // every value printed here is plain data
	}
	stdout.Lock()
	defer stdout.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func (r *report) print(started time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.OK = r.ErrorCount == 0
	r.ElapsedMS = time.Since(started).Milliseconds()
	printLine(r)
	return r.OK
}
