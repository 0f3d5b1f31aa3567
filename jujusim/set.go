package jujusim

import "math/rand/v2"

// A set is a set of values with an order that depends only on what was done to
// it, so that choices from it can be repeated. The zero value is empty.
type set[T comparable] struct {
	list  []T
	index map[T]int
}

func (s *set[T]) len() int { return len(s.list) }

func (s *set[T]) has(v T) bool {
	_, ok := s.index[v]
	return ok
}

func (s *set[T]) add(v T) {
	if s.has(v) {
		return
	}
	if s.index == nil {
		s.index = make(map[T]int)
	}
	s.index[v] = len(s.list)
	s.list = append(s.list, v)
}

func (s *set[T]) remove(v T) {
	i, ok := s.index[v]
	if !ok {
		return
	}
	last := len(s.list) - 1
	s.list[i] = s.list[last]
	s.index[s.list[i]] = i
	s.list = s.list[:last]
	delete(s.index, v)
}

func (s *set[T]) put(v T, in bool) {
	if in {
		s.add(v)
	} else {
		s.remove(v)
	}
}

// pick returns one of the values, which must not be none.
func (s *set[T]) pick(rng *rand.Rand) T { return s.list[rng.IntN(len(s.list))] }
