package picture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Expr is a condition over flags as a tree.
type Expr struct {
	// Op is "flag", "and", "or" or "not". Of no parts, "and" always holds and
	// "or" never.
	Op    string  `json:"op"`
	Flag  string  `json:"flag,omitempty"`
	Parts []*Expr `json:"parts,omitempty"`
}

// ParseExpr reads a condition from the words that a condition over flags
// prints itself as, such as "web.installed and not (db.ready or db.broken)".
// Names are the flags in it.
func ParseExpr(text string, names []string) (*Expr, error) {
	p := &exprParser{rest: text, names: slices.Clone(names)}
	// Of two names that begin alike the longer one is meant.
	slices.SortFunc(p.names, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	e, err := p.or()
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%q is left", p.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the condition %q: %w", text, err)
	}
	return e, nil
}

type exprParser struct {
	rest  string
	names []string
	depth int
}

func (p *exprParser) take(word string) bool {
	rest, ok := strings.CutPrefix(p.rest, word)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *exprParser) or() (*Expr, error)  { return p.joined("or", p.and) }
func (p *exprParser) and() (*Expr, error) { return p.joined("and", p.one) }

func (p *exprParser) joined(op string, part func() (*Expr, error)) (*Expr, error) {
	e, err := part()
	if err != nil || !strings.HasPrefix(p.rest, " "+op+" ") {
		return e, err
	}
	all := &Expr{Op: op, Parts: []*Expr{e}}
	for p.take(" " + op + " ") {
		if e, err = part(); err != nil {
			return nil, err
		}
		all.Parts = append(all.Parts, e)
	}
	return all, nil
}

func (p *exprParser) one() (*Expr, error) {
	if p.depth++; p.depth > 1000 {
		return nil, fmt.Errorf("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	// A flag comes first: its name may begin with any of the words.
	for _, name := range p.names {
		if rest, ok := strings.CutPrefix(p.rest, name); ok && (rest == "" || rest[0] == ' ' || rest[0] == ')') {
			p.rest = rest
			return &Expr{Op: "flag", Flag: name}, nil
		}
	}
	switch {
	case p.take("not "):
		e, err := p.one()
		return &Expr{Op: "not", Parts: []*Expr{e}}, err
	case p.take("("):
		e, err := p.or()
		if err == nil && !p.take(")") {
			err = fmt.Errorf("a parenthesis is not closed before %q", p.rest)
		}
		return e, err
	case p.take("always"):
		return &Expr{Op: "and"}, nil
	case p.take("never"):
		return &Expr{Op: "or"}, nil
	}
	return nil, fmt.Errorf("there is no flag at %q", p.rest)
}
