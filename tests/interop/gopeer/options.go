package gopeer

import (
	"flag"
	"fmt"
	"time"
)

// options is the command line. Both the Go programs and the Rust interop peer
// accept it; README.md next to them explains every flag.
type options struct {
	listen, dial, role string
	sessions           int
	typed              bool
	heartbeat          string
	window, backlog    uint
	app, drive         string
	mutual             bool
	streams, inFlight  int
	pending            int
	bytes              int64
	writeSize          int
	readSize           int
	requests           int
	beats              int
	code               uint
	request            string
	delay              uint
	timeout            time.Duration
}

func parseOptions(arguments []string) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "", "listen on this address and serve the sessions that come")
	flags.StringVar(&o.dial, "dial", "", "dial this address")
	flags.StringVar(&o.role, "role", "", "muxado role, client or server (default: the dialer is the client)")
	flags.IntVar(&o.sessions, "sessions", 1, "sessions to serve when listening, 0 for no end")
	flags.BoolVar(&o.typed, "typed", false, "typed streams")
	flags.StringVar(&o.heartbeat, "heartbeat", "", "INTERVAL,TOLERANCE in milliseconds; implies --typed")
	flags.UintVar(&o.window, "window", 0, "stream window in bytes, 0 for the library's default")
	flags.UintVar(&o.backlog, "backlog", 0, "accept backlog, 0 for the library's default")
	flags.StringVar(&o.app, "app", "serve", "what runs on accepted streams: echo, serve, control or none")
	flags.StringVar(&o.drive, "drive", "", "what to do on streams this side opens")
	flags.BoolVar(&o.mutual, "mutual", false, "the peer drives too: end when both are done")
	flags.IntVar(&o.streams, "streams", 1, "streams to open")
	flags.IntVar(&o.inFlight, "in-flight", 1, "streams open at a time")
	flags.IntVar(&o.pending, "pending", 32, "streams the peer may not have answered yet")
	flags.Int64Var(&o.bytes, "bytes", 1024, "payload of a stream")
	flags.IntVar(&o.writeSize, "write-size", 32*1024, "bytes in one write")
	flags.IntVar(&o.readSize, "read-size", 32*1024, "bytes in one read")
	flags.IntVar(&o.requests, "requests", 10, "requests on a stream")
	flags.IntVar(&o.beats, "beats", 3, "heartbeats to wait for")
	flags.UintVar(&o.code, "code", 0, "error code to ask the peer to reset with")
	flags.StringVar(&o.request, "request", "complete", "of early answers: complete, flowing or blocked")
	flags.UintVar(&o.delay, "delay", 0, "milliseconds between the end of an early answer and the close of its stream, or before a late one")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "give up after this time; 0 for never")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if (o.listen == "") == (o.dial == "") {
		return nil, fmt.Errorf("exactly one of --listen and --dial is needed")
	}
	if o.role == "" {
		o.role = "client"
		if o.listen != "" {
			o.role = "server"
		}
	}
	if o.heartbeat != "" {
		o.typed = true
	}
	return o, nil
}

func (o *options) config(onBeat func(time.Duration, bool)) (Config, error) {
	config := Config{
		Client:  o.role == "client",
		Typed:   o.typed,
		Window:  uint32(o.window),
		Backlog: uint32(o.backlog),
	}
	if o.heartbeat != "" {
		var interval, tolerance int
		if _, err := fmt.Sscanf(o.heartbeat, "%d,%d", &interval, &tolerance); err != nil {
			return config, fmt.Errorf("--heartbeat %q: %w", o.heartbeat, err)
		}
		config.Heartbeat = &Heartbeat{
			Interval:  time.Duration(interval) * time.Millisecond,
			Tolerance: time.Duration(tolerance) * time.Millisecond,
			OnBeat:    onBeat,
		}
	}
	return config, nil
}
