package netcheck

// Answer is answer, with a fixed MTU.
func Answer(packet []byte, mtu int) []byte {
	return answer(packet, func() int { return mtu })
}
