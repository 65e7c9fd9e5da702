// The interop peer on version 2 of the Go implementation.
module muxado.test/go2

go 1.21

require (
	golang.ngrok.com/muxado/v2 v2.0.2
	muxado.test/gopeer v0.0.0
)

replace muxado.test/gopeer => ../gopeer
