package reactive

import (
	"regexp"
	"strings"

	"github.com/charmed-go/charms/charmfile"
)

// ExpandHookPattern returns the hook names for which a pattern stands. In it,
// {ROLE:INTERFACE} stands for the names of all endpoints with that role
// (provides, requires or peers) and interface, and {A,B} for A or B:
// "{requires:db}-relation-{joined,changed}". A pattern with an interface that
// no endpoint has stands for no hook (_expand_replacements and any_hook in the
// reference).
func ExpandHookPattern(pattern string, endpoints []charmfile.Endpoint) []string {
	names := []string{pattern}
	if !strings.Contains(pattern, "{") {
		return names
	}
	names = expand(names, regexp.MustCompile(`\{([^:}]+):([^}]+)\}`), func(m []string) []string {
		var list []string
		for _, e := range endpoints {
			if string(e.Role) == m[1] && e.Interface == m[2] {
				list = append(list, e.Name)
			}
		}
		return list
	})
	return expand(names, regexp.MustCompile(`\{((?:[^:,}]+,?)+)\}`), func(m []string) []string { return strings.Split(m[1], ",") })
}

// expand replaces, in each name, the first match of re by each of the texts
// that replacements gives for it, until nothing matches.
func expand(names []string, re *regexp.Regexp, replacements func(match []string) []string) []string {
	var done []string
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		at := re.FindStringIndex(name)
		if at == nil {
			done = append(done, name)
			continue
		}
		match := re.FindStringSubmatch(name)
		var next []string
		for _, text := range replacements(match) {
			next = append(next, name[:at[0]]+text+name[at[1]:])
		}
		names = append(next, names...)
	}
	return done
}
