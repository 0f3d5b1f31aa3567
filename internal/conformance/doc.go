// Package conformance holds this project against recorded truth: vectors of
// what the Python reference implementations, Juju's own hook tools and units
// of a real Juju model do.
//
// It has no code of its own outside its tests. Run one family with
//
//	go test ./internal/conformance -run 'TestVectors/values$' -v
//
// CONFORMANCE_VECTORS names another directory of vectors than testdata.
package conformance
