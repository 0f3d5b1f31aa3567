package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// TestUpgradeParts plays the hook vectors of the families with endpoints in two
// parts: the Python charm played the first, and the Go charm plays the second,
// with the recorded results, from the file of unit state that the Python charm
// left and the databags that it had published. Every vector is divided in the
// middle, and the shorter ones at every other step as well.
func TestUpgradeParts(t *testing.T) {
	for _, family := range families {
		if !slices.Contains([]string{"prometheus_manual", "request_response", "magpie", "loadbalancer"}, family.name) {
			continue
		}
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			lines, err := readVectors(vectorsDir(), family.name)
			if err != nil {
				t.Fatal(err)
			}
			passed, failed, vectors := 0, 0, 0
			for i, line := range lines {
				if testing.Short() && i%10 != 0 {
					continue
				}
				steps := stepsOf(t, line)
				if len(steps) < 2 {
					continue
				}
				vectors++
				for _, at := range divisions(len(steps)) {
					name := fmt.Sprintf("%s/from-%d", mustID(t, line), at)
					part := secondPart(t, line, at)
					if part == nil {
						continue
					}
					if t.Run(name, func(t *testing.T) { family.run(t, part) }) {
						passed++
					} else {
						failed++
					}
				}
			}
			fmt.Printf("upgrade of %s: %d vectors in %d divisions passed, %d failed\n", family.name, vectors, passed, failed)
			if passed+failed < 15 {
				t.Errorf("only %d divisions of %d vectors were played", passed+failed, vectors)
			}
		})
	}
}

// divisions returns the numbers of the steps with which second parts begin.
func divisions(steps int) []int {
	if steps > 12 {
		return []int{steps / 2}
	}
	var list []int
	for at := 1; at < steps; at++ {
		list = append(list, at)
	}
	return list
}

func mustID(t testing.TB, line []byte) string {
	t.Helper()
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		t.Fatal(err)
	}
	return h.ID
}

// stepsOf returns the steps of a vector that is to be played.
func stepsOf(t testing.TB, line []byte) []json.RawMessage {
	t.Helper()
	var h header
	var v struct{ Steps []json.RawMessage }
	for _, into := range []any{&h, &v} {
		if err := json.Unmarshal(line, into); err != nil {
			t.Fatal(err)
		}
	}
	if deviation(h) != "" {
		return nil
	}
	return v.Steps
}

// A halfway is a vector up to some step: what the Python charm left, and what
// Juju has.
type halfway struct {
	kv        map[string]json.RawMessage
	snapshots map[string]json.RawMessage
	leader    any
	config    json.RawMessage
	relations map[string]json.RawMessage
}

// after returns what there is when the first steps of a vector were played.
func after(t testing.TB, line []byte, steps []json.RawMessage) *halfway {
	t.Helper()
	var v struct {
		Charm struct {
			KV        map[string]json.RawMessage
			Endpoints []vectorEndpoint
		}
	}
	decodeVector(t, line, &v)
	h := &halfway{kv: make(map[string]json.RawMessage), snapshots: make(map[string]json.RawMessage),
		relations: make(map[string]json.RawMessage)}
	maps.Copy(h.kv, v.Charm.KV)
	classes := make(map[string]string)
	for _, ep := range v.Charm.Endpoints {
		if ep.Interface == "loadbalancer" {
			classes[ep.Name] = map[string]string{"requires": "LBProvider", "provides": "LBConsumers"}[ep.Role]
		}
	}
	for _, raw := range steps {
		var step struct {
			Model  json.RawMessage
			Expect struct {
				Failed bool
				KVSet  map[string]json.RawMessage `json:"kv_set"`
				KVDel  []string                   `json:"kv_del"`
				State  map[string]json.RawMessage `json:"state"`
			}
		}
		if err := json.Unmarshal(raw, &step); err != nil {
			t.Fatal(err)
		}
		h.change(t, step.Model)
		maps.Copy(h.kv, step.Expect.KVSet)
		for _, key := range step.Expect.KVDel {
			delete(h.kv, key)
		}
		for name, state := range step.Expect.State {
			if class := classes[name]; class != "" && !step.Expect.Failed {
				h.snapshots[fmt.Sprintf("CharmBase/%s[%s]/StoredStateData[state]", class, name)] = state
			}
		}
	}
	return h
}

func (h *halfway) change(t testing.TB, text json.RawMessage) {
	t.Helper()
	if text == nil {
		return
	}
	var change struct {
		Leader    any
		Config    json.RawMessage
		Relations map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &change); err != nil {
		t.Fatal(err)
	}
	if change.Leader != nil {
		h.leader = change.Leader
	}
	if change.Config != nil {
		h.config = change.Config
	}
	maps.Copy(h.relations, change.Relations)
}

// model returns what Juju has, as a step's change of the model.
func (h *halfway) model() map[string]any {
	m := map[string]any{"relations": h.relations}
	if h.leader != nil {
		m["leader"] = h.leader
	}
	if h.config != nil {
		m["config"] = h.config
	}
	return m
}

// secondPart returns a vector of its own that begins with a step of another
// one, and with what the Python charm left before it; nil if it had left
// nothing yet.
func secondPart(t testing.TB, line []byte, at int) []byte {
	t.Helper()
	steps := stepsOf(t, line)
	half := after(t, line, steps[:at])
	if len(half.kv) == 0 {
		return nil
	}
	var first map[string]json.RawMessage
	if err := json.Unmarshal(steps[at], &first); err != nil {
		t.Fatal(err)
	}
	half.change(t, first["model"])
	first["model"] = mustMarshal(t, half.model())
	rest := append([]json.RawMessage{mustMarshal(t, first)}, steps[at+1:]...)
	return withPart(t, line, half, rest)
}

// withPart returns a vector with other steps that go on from halfway.
func withPart(t testing.TB, line []byte, half *halfway, steps []json.RawMessage) []byte {
	t.Helper()
	var v struct {
		Charm map[string]json.RawMessage
	}
	var whole map[string]json.RawMessage
	for _, into := range []any{&whole, &v} {
		if err := json.Unmarshal(line, into); err != nil {
			t.Fatal(err)
		}
	}
	v.Charm["kv"] = mustMarshal(t, half.kv)
	v.Charm["snapshots"] = mustMarshal(t, half.snapshots)
	v.Charm["python"] = json.RawMessage("true")
	whole["charm"] = mustMarshal(t, v.Charm)
	whole["steps"] = mustMarshal(t, steps)
	return mustMarshal(t, whole)
}

// mustMarshal encodes a value that holds texts of JSON, which stay as they are
// but for spaces.
func mustMarshal(t testing.TB, v any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// takeOver returns a store with what a Python charm left, which it writes to a
// file first, in the form of charmhelpers' unitdata and ops.
func (r *hookRunner) takeOver(t testing.TB) *unitdata.Memory {
	t.Helper()
	rows := make(map[string]string)
	for key, v := range r.vector.Charm.KV {
		rows[key] = mustEncode(t, v)
	}
	path := filepath.Join(r.dir, sqlitefile.FileName)
	writeUnitState(t, path, rows, r.vector.Charm.Snapshots)
	store := &unitdata.Memory{}
	if _, err := sqlitefile.Import(store, sqlitefile.Options{Path: path}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func flagsIn(entries map[string]json.RawMessage) []string {
	var list []string
	for key := range entries {
		if flag, ok := strings.CutPrefix(key, "reactive.states."); ok {
			list = append(list, flag)
		}
	}
	slices.Sort(list)
	return list
}

// pickle writes plain data as Python's pickle does, in protocol 4.
func pickle(t testing.TB, text json.RawMessage) []byte {
	t.Helper()
	var v any
	decodeVector(t, text, &v)
	var b bytes.Buffer
	b.WriteString("\x80\x04")
	pickleValue(t, &b, v)
	b.WriteByte('.')
	return b.Bytes()
}

func pickleValue(t testing.TB, b *bytes.Buffer, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		b.WriteByte('N')
	case bool:
		b.WriteByte(map[bool]byte{true: 0x88, false: 0x89}[v])
	case string:
		b.WriteByte('X')
		_ = binary.Write(b, binary.LittleEndian, uint32(len(v)))
		b.WriteString(v)
		b.WriteByte(0x94)
	case map[string]any:
		b.WriteString("}\x94(")
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pickleValue(t, b, key)
			pickleValue(t, b, v[key])
		}
		b.WriteByte('u')
	default:
		t.Fatalf("cannot pickle %T", v)
	}
}
