package gopeer

import (
	"fmt"
	"net"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

// peer is one session and its application.
type peer struct {
	library Library
	options *options
	report  *report
	session Session
	// ended is closed when the session is over.
	ended chan struct{}
	// bye is closed when the peer has said that its drive is done.
	bye     chan struct{}
	byeOnce sync.Once
	starts  starts
}

func (p *peer) peerDone() { p.byeOnce.Do(func() { close(p.bye) }) }

// Main runs the program. It exits with 0 for success, 1 if a session failed,
// 2 on a usage or transport error, and 3 when the time limit passed.
func Main(library Library) {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		fatal(err)
	}
	ok := false
	if o.dial != "" {
		conn, err := net.Dial("tcp", o.dial)
		if err != nil {
			fatal(err)
		}
		ok = runSession(library, o, conn)
	} else {
		ok = listen(library, o)
	}
	if !ok {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func listen(library Library, o *options) bool {
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		fatal(err)
	}
	printLine(map[string]any{"event": "listening", "addr": listener.Addr().String()})
	ok := true
	var mu sync.Mutex
	var running sync.WaitGroup
	for served := 0; o.sessions == 0 || served < o.sessions; served++ {
		conn, err := listener.Accept()
		if err != nil {
			fatal(err)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			sessionOK := runSession(library, o, conn)
			mu.Lock()
			defer mu.Unlock()
			ok = ok && sessionOK
		}()
	}
	running.Wait()
	return ok
}

func runSession(library Library, o *options, conn net.Conn) bool {
	started := time.Now()
	p := &peer{
		library: library,
		options: o,
		report:  newReport(library, o),
		ended:   make(chan struct{}),
		bye:     make(chan struct{}),
	}
	if o.timeout > 0 && o.sessions != 0 {
		defer time.AfterFunc(o.timeout, func() {
			p.report.fail("no end after %v", o.timeout)
			pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			p.report.print(started)
			os.Exit(3)
		}).Stop()
	}
	config, err := o.config(p.report.onBeat)
	if err != nil {
		fatal(err)
	}
	p.session = library.Start(conn, config)
	go p.watch()
	switch o.app {
	case "echo", "serve":
		go p.acceptLoop()
	case "control":
		commanded := make(chan struct{})
		go func() {
			defer close(commanded)
			p.control(os.Stdin)
		}()
		// Calls are accepted and answered even after the end of the session.
		defer func() { <-commanded }()
	case "none":
	default:
		fatal(fmt.Errorf("unknown --app %q", o.app))
	}
	if o.drive != "" {
		p.drive()
		p.finish()
	}
	<-p.ended
	return p.report.print(started)
}

// watch records how the session ended.
func (p *peer) watch() {
	cause, remote, debug := p.session.Wait()
	p.report.mu.Lock()
	if cause != nil {
		p.report.End["cause_code"] = fmt.Sprint(p.library.ErrorCode(cause))
		p.report.End["cause"] = cause.Error()
	}
	if remote != nil {
		p.report.End["remote_code"] = fmt.Sprint(p.library.ErrorCode(remote))
		p.report.End["remote_text"] = string(debug)
	}
	p.report.mu.Unlock()
	close(p.ended)
}

// finish ends the session once this side, and with --mutual the other side,
// is done. Only the dialer closes, so that neither interrupts the other.
func (p *peer) finish() {
	if p.options.mutual {
		dialer := p.options.dial != ""
		// The dialer may close as soon as it has received the listener's bye.
		if err := p.sayBye(dialer); err != nil && dialer {
			p.report.fail("bye: %v", err)
		}
		select {
		case <-p.bye:
		case <-p.ended:
		}
		if !dialer {
			return
		}
	}
	p.session.Close()
}
