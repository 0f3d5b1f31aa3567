package explore

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// An Item is one thing in the state of a model.
type Item struct {
	// Owner is a unit or an application.
	Owner string
	// Kind is "status", "ports", "version", "state", "relation", "leader
	// settings", "secret" or "life".
	Kind string
	// Relation is the number of the relation whose bag it is in, and Endpoints
	// that relation's, for people.
	Relation  int
	Endpoints string
	// Key is the key in the state, the bag or the settings, or the label of the
	// secret.
	Key string
}

// String is the item as a report names it: "web/0 state installed", "web/0 in
// relation 1 (web:db pg:db): user".
func (i Item) String() string {
	switch {
	case i.Kind == "relation":
		return fmt.Sprintf("%s in relation %d (%s): %s", i.Owner, i.Relation, i.Endpoints, i.Key)
	case i.Key != "":
		return fmt.Sprintf("%s %s %s", i.Owner, i.Kind, i.Key)
	}
	return i.Owner + " " + i.Kind
}

// State is what counts of a model in the end, as text: status, ports, charm
// state, relation data, leader settings and secrets. UUIDs, ids of secrets,
// hashes, and PEM texts, which differ from run to run, are masked. Left out is what depends on
// the order by its nature: what is remembered of databags only to see later
// whether they changed, and of units that departed; the data of units that are
// gone, which may never have written any; and who the leader is.
func State(m *model.Model) map[Item]string {
	s := make(map[Item]string)
	for name, a := range m.Applications {
		s[Item{Owner: name, Kind: "status"}] = statusText(a.Status)
		for k, v := range a.LeaderSettings {
			s[Item{Owner: name, Kind: "leader settings", Key: mask(k)}] = mask(v)
		}
		for unit, u := range a.Units {
			s[Item{Owner: unit, Kind: "life"}] = orAlive(u.Life)
			s[Item{Owner: unit, Kind: "status"}] = statusText(u.Status)
			s[Item{Owner: unit, Kind: "version"}] = u.WorkloadVersion
			var ports []string
			for _, p := range u.OpenPorts() {
				ports = append(ports, p.String())
			}
			s[Item{Owner: unit, Kind: "ports"}] = strings.Join(ports, " ")
			for k, v := range charmState(u.State) {
				s[Item{Owner: unit, Kind: "state", Key: mask(k)}] = mask(v)
			}
		}
	}
	for _, r := range m.Relations {
		ends := make([]string, len(r.Endpoints))
		for i, e := range r.Endpoints {
			ends[i] = e.Application + ":" + e.Name
		}
		for owner, bag := range r.Data {
			if !present(m, owner) {
				continue
			}
			for k, v := range bag {
				s[Item{Owner: owner, Kind: "relation", Relation: r.ID, Endpoints: strings.Join(ends, " "), Key: mask(k)}] = mask(v)
			}
		}
	}
	secrets(m, s)
	return s
}

// present says whether a unit or an application is there.
func present(m *model.Model, owner string) bool {
	name, _, isUnit := strings.Cut(owner, "/")
	a := m.Applications[name]
	return a != nil && (!isUnit || a.Units[owner] != nil)
}

// departed begins the keys under which unit data holds units that departed.
const departed = "reactive.endpoints.departed."

func statusText(s model.Status) string {
	return mask(strings.TrimSuffix(s.Status+": "+s.Message, ": "))
}

func orAlive(life string) string {
	if life == "" {
		return model.Alive
	}
	return life
}

// charmState takes apart the document in which a charm's unit data is kept.
func charmState(state map[string]string) map[string]string {
	flat := make(map[string]string)
	text := ""
	for k, v := range state {
		switch {
		case strings.HasPrefix(k, "seen."):
		case k == "reactive":
			text = v
			if n, rest, ok := strings.Cut(v, "#"); ok && len(n) <= 4 {
				text = rest
				for i := 1; state[fmt.Sprintf("reactive.%d", i)] != ""; i++ {
					text += state[fmt.Sprintf("reactive.%d", i)]
				}
			}
		case strings.HasPrefix(k, "reactive."):
		default:
			flat[k] = v
		}
	}
	var doc struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if text != "" && json.Unmarshal([]byte(text), &doc) != nil {
		flat["reactive"] = text
	}
	for k, v := range doc.Data {
		if !strings.HasPrefix(k, departed) {
			flat[k] = string(v)
		}
	}
	return flat
}

// secrets adds the secrets without their contents: of those only the keys.
func secrets(m *model.Model, s map[Item]string) {
	count := make(map[Item]int)
	for _, secret := range m.Secrets {
		var keys []string
		for k := range secret.Revisions[secret.Latest] {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		var grants []string
		for _, g := range secret.Grants {
			grants = append(grants, fmt.Sprintf("%s over %d", g.To, g.Relation))
		}
		slices.Sort(grants)
		item := Item{Owner: secret.Owner, Kind: "secret", Key: mask(secret.Label)}
		count[item]++
		if n := count[item]; n > 1 {
			item.Key += fmt.Sprintf(" (%d)", n)
		}
		s[item] = fmt.Sprintf("keys %s, granted to %s", strings.Join(keys, " "), strings.Join(grants, ", "))
	}
}

var (
	uuidText = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	hashText = regexp.MustCompile(`\b[0-9a-f]{32,128}\b`)
	// Within JSON lines end with the letters \n.
	pemText    = regexp.MustCompile(`(?s)-----BEGIN ([A-Z0-9 ]+)-----.*?-----END [A-Z0-9 ]+-----`)
	secretText = regexp.MustCompile(`\bsecret:(//[^/\s"]+/)?[0-9a-v]{20}\b`)
)

// mask puts words in the place of what is random.
func mask(s string) string {
	s = pemText.ReplaceAllString(s, "<$1>")
	s = uuidText.ReplaceAllString(s, "<uuid>")
	s = hashText.ReplaceAllString(s, "<hash>")
	return secretText.ReplaceAllString(s, "<secret>")
}
