// Package canonicaljson reads JSON as Python's json.loads does and writes the
// exact text of json.dumps(value, sort_keys=True).
//
// Charms written with the Python framework publish, store and hash that text.
// Reading and writing the very same one means that data is never rewritten
// for its spelling alone, and that a change seen by one side is seen by the
// other:
//
//	v := canonicaljson.DecodeBag(`{"port":80,"host":"é"}`)
//	text, err := canonicaljson.Encode(v)
//	// text is {"host": "\u00e9", "port": 80}
//	sum := canonicaljson.Digest(text) // what change detection stores
//
// # Differences between the two JSONs
//
// Python reads NaN, Infinity and -Infinity, and writes them. A number without
// fraction and exponent is an integer of any size (up to 4300 digits), any
// other a double that is written in Python's notation. Unpaired surrogates are
// kept: inside a Go string each is the three bytes that UTF-8 would use for it
// (WTF-8). Other bytes that are not UTF-8 are read and written as U+FFFD.
//
// # Values
//
// [Decode] returns nil, bool, string, [json.Number] (integers only), [Float],
// []any and map[string]any. [Encode] takes those and, through encoding/json,
// any other Go value.
//
// All functions are pure and may be called concurrently.
package canonicaljson
