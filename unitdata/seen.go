package unitdata

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
)

// A Bag names a remote databag: that of a unit or an application in a relation.
type Bag struct {
	// Relation is the relation's ID, such as "db:1".
	Relation string
	// Name is the name of the unit, such as "mysql/0", or the application.
	Name string
}

func (b Bag) String() string { return b.Relation + " " + b.Name }

// A Sum is the MD5 of a value's canonical JSON text, which is what
// charms.reactive compares to find out whether a value changed. It guards
// against nothing but chance.
type Sum [md5.Size]byte

// SumOf returns the sum of a canonical JSON text.
func SumOf(text string) Sum { return md5.Sum([]byte(text)) }

// record is what is remembered of one value of a databag: four bytes of its
// key's hash and six of its sum. Two of ten keys of a bag share a hash once in a
// hundred million bags; then both count as changed when either changes.
const (
	keySize    = 4
	valueSize  = 6
	recordSize = keySize + valueSize
)

// MaxSeen is how many values of one databag are remembered.
const MaxSeen = maxRecords

// maxRecords bounds how many keys of one databag are remembered, so that a
// remote unit that publishes ever new keys cannot fill the charm state.
const maxRecords = 4000

// A Seen is what was last seen of a databag: a short digest of each value. The
// zero Seen has seen nothing.
//
// The value of a key that is no longer in the bag is remembered like the
// others, as the reference does: if it comes back unchanged, it did not change.
type Seen struct {
	records map[[keySize]byte][valueSize]byte
}

// Len returns how many values are remembered.
func (s Seen) Len() int { return len(s.records) }

// Same reports whether the value of key was seen with this sum before.
func (s Seen) Same(key string, sum Sum) bool {
	was, ok := s.records[keyHash(key)]
	return ok && was == [valueSize]byte(sum[:valueSize])
}

// Note remembers the sum of key's value. It reports false if it does not,
// because there are too many already ([MaxSeen]).
func (s *Seen) Note(key string, sum Sum) bool {
	hash := keyHash(key)
	if _, ok := s.records[hash]; !ok && len(s.records) >= maxRecords {
		return false
	}
	if s.records == nil {
		s.records = make(map[[keySize]byte][valueSize]byte)
	}
	s.records[hash] = [valueSize]byte(sum[:valueSize])
	return true
}

// Clone returns a copy that shares nothing with s.
func (s Seen) Clone() Seen {
	var c Seen
	for k, v := range s.records {
		if c.records == nil {
			c.records = make(map[[keySize]byte][valueSize]byte, len(s.records))
		}
		c.records[k] = v
	}
	return c
}

func keyHash(key string) [keySize]byte {
	h := fnv.New32a()
	h.Write([]byte(key))
	var b [keySize]byte
	binary.BigEndian.PutUint32(b[:], h.Sum32())
	return b
}

// MarshalBinary returns ten bytes for each value, sorted.
func (s Seen) MarshalBinary() ([]byte, error) {
	hashes := make([][keySize]byte, 0, len(s.records))
	for k := range s.records {
		hashes = append(hashes, k)
	}
	slices.SortFunc(hashes, func(a, b [keySize]byte) int { return slices.Compare(a[:], b[:]) })
	data := make([]byte, 0, recordSize*len(hashes))
	for _, k := range hashes {
		v := s.records[k]
		data = append(append(data, k[:]...), v[:]...)
	}
	return data, nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (s *Seen) UnmarshalBinary(data []byte) error {
	if len(data)%recordSize != 0 || len(data) > maxRecords*recordSize {
		return fmt.Errorf("cannot read the sums of a databag: %d bytes are not whole records", len(data))
	}
	s.records = make(map[[keySize]byte][valueSize]byte, len(data)/recordSize)
	for ; len(data) > 0; data = data[recordSize:] {
		s.records[[keySize]byte(data)] = [valueSize]byte(data[keySize:])
	}
	return nil
}
