// The interop peer on the Go reference implementation.
module muxado.test/go1

go 1.21

require (
	github.com/inconshreveable/muxado v0.0.0-20160802230925-fc182d90f26e
	muxado.test/gopeer v0.0.0
)

replace muxado.test/gopeer => ../gopeer
