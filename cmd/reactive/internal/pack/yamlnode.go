package pack

import (
	"bytes"
	"errors"

	"gopkg.in/yaml.v3"
)

// plain returns a copy of a YAML tree without comments, anchors, aliases and
// merges, so that any part of it can be written by itself.
func plain(n *yaml.Node) (*yaml.Node, error) {
	budget := 100_000
	return plainNode(n, &budget, 0)
}

func plainNode(n *yaml.Node, budget *int, depth int) (*yaml.Node, error) {
	for i := 0; n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	if *budget--; *budget < 0 || depth > 100 {
		return nil, errors.New("is too large or nested too deeply")
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style}
	if n.Kind != yaml.MappingNode {
		for _, x := range n.Content {
			y, err := plainNode(x, budget, depth+1)
			if err != nil {
				return nil, err
			}
			c.Content = append(c.Content, y)
		}
		return c, nil
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() == "!!merge" {
			merged = append(merged, n.Content[i+1])
			continue
		}
		for _, x := range n.Content[i : i+2] {
			y, err := plainNode(x, budget, depth+1)
			if err != nil {
				return nil, err
			}
			c.Content = append(c.Content, y)
		}
	}
	for _, m := range merged {
		y, err := plainNode(m, budget, depth+1)
		if err != nil {
			return nil, err
		}
		sources := []*yaml.Node{y}
		if y.Kind == yaml.SequenceNode {
			sources = y.Content
		}
		for _, s := range sources {
			for i := 0; i+1 < len(s.Content); i += 2 {
				if child(c, s.Content[i].Value) == nil {
					c.Content = append(c.Content, s.Content[i], s.Content[i+1])
				}
			}
		}
	}
	return c, nil
}

// child returns the value of a key of a map, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalar(n *yaml.Node, key string) string {
	if c := child(n, key); c != nil && c.Kind == yaml.ScalarNode && c.ShortTag() != "!!null" {
		return c.Value
	}
	return ""
}

// scalars returns the elements of a list, or one scalar as a list of one.
func scalars(n *yaml.Node) []string {
	switch {
	case n == nil || n.ShortTag() == "!!null":
		return nil
	case n.Kind == yaml.ScalarNode:
		return []string{n.Value}
	}
	var out []string
	for _, x := range n.Content {
		out = append(out, x.Value)
	}
	return out
}

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func encode(n *yaml.Node) ([]byte, error) {
	var buf bytes.Buffer
	e := yaml.NewEncoder(&buf)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
