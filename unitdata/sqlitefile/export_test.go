package sqlitefile

// Unpickle is unpickle, for fuzzing it alone.
var Unpickle = unpickle

// SetStep has f called before and after every operation on the store.
func (s *Store) SetStep(f func(name string)) { s.step = f }

// SetStep has f called before and after every operation on the file.
func (i *Importer) SetStep(f func(name string)) { i.step = f }
