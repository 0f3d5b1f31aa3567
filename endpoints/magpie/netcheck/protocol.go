package netcheck

import (
	"encoding/binary"
	"fmt"
)

// The protocol of the responder, one TCP and one UDP port of the same number.
//
// TCP: the client sends one line, the responder answers with one.
//
//	"netcheck1 echo\n"       "ok\n", then every block of 16 bytes comes back
//	"netcheck1 sink TOKEN\n" "ok\n" or "busy\n"; everything the client then
//	                         sends is counted until it closes its side, and
//	                         answered with "BYTES\n"
//
// UDP: a packet begins with a header of 24 bytes.
//
//	0  4 magic "nck1"
//	4  1 type: 'E' echo, 'e' its answer; 'P' probe, 'p' its answer
//	5  3 zero
//	8  8 nonce of the check
//	16 4 sequence number; in the answer of a probe the length that arrived
//	20 4 zero; in the answer of a probe the MTU of the responder's interface,
//	     0 if it is not known
//
// The answer of an echo is as long as the packet, that of a probe is just the
// header. Answers are never answered, so two responders cannot be made to talk
// to each other.
const (
	helloEcho  = "netcheck1 echo"
	helloSink  = "netcheck1 sink "
	helloLimit = 64
	tokenLimit = 32
	echoBlock  = 16

	headerSize = 24
	magic      = "nck1"

	typeEcho        = 'E'
	typeEchoAnswer  = 'e'
	typeProbe       = 'P'
	typeProbeAnswer = 'p'

	maxDatagram = 65507
)

// header is the head of a UDP packet.
type header struct {
	kind  byte
	nonce uint64
	// seq is the sequence number of an echo or a probe.
	seq uint32
	// mtu is the MTU of the responder's interface, in the answer of a probe.
	mtu uint32
}

// put writes the header to the first headerSize bytes of b.
func (h header) put(b []byte) {
	copy(b, magic)
	b[4], b[5], b[6], b[7] = h.kind, 0, 0, 0
	binary.BigEndian.PutUint64(b[8:], h.nonce)
	binary.BigEndian.PutUint32(b[16:], h.seq)
	binary.BigEndian.PutUint32(b[20:], h.mtu)
}

// parseHeader reads the header of a packet; false means that the packet is not
// one of this protocol.
func parseHeader(b []byte) (header, bool) {
	if len(b) < headerSize || string(b[:4]) != magic || b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return header{}, false
	}
	h := header{
		kind:  b[4],
		nonce: binary.BigEndian.Uint64(b[8:]),
		seq:   binary.BigEndian.Uint32(b[16:]),
		mtu:   binary.BigEndian.Uint32(b[20:]),
	}
	switch h.kind {
	case typeEcho, typeEchoAnswer, typeProbe, typeProbeAnswer:
		return h, true
	}
	return header{}, false
}

// answer turns a request, in place, into what the responder sends back. Nil
// means nothing: the packet is not a request.
func answer(packet []byte, mtu func() int) []byte {
	h, ok := parseHeader(packet)
	if !ok {
		return nil
	}
	switch h.kind {
	case typeEcho:
		packet[4] = typeEchoAnswer
		return packet
	case typeProbe:
		h.kind, h.seq, h.mtu = typeProbeAnswer, uint32(len(packet)), uint32(mtu())
		h.put(packet)
		return packet[:headerSize]
	}
	return nil
}

// parseToken checks the token of a "sink" line.
func parseToken(s string) (string, error) {
	if s == "" || len(s) > tokenLimit {
		return "", fmt.Errorf("cannot use a token of %d bytes", len(s))
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", fmt.Errorf("cannot use a token that is not hexadecimal")
		}
	}
	return s, nil
}
