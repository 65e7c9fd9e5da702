// The part of the Go interop peer that does not depend on which muxado
// library it is built against. go1 and go2 import it through a replace
// directive; it is never published.
module muxado.test/gopeer

go 1.21
