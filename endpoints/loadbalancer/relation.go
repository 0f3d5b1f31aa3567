package loadbalancer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/reactive"
)

// version is the newest version of the interface that is spoken here. The
// smaller one of both sides' versions is used.
const version = 1

const (
	versionKey     = "version"
	requestPrefix  = "request_"
	responsePrefix = "response_"
)

// relations returns the relations of an endpoint, the oldest first. One that
// is broken is gone.
func relations(ep *reactive.Endpoint) []*reactive.Relation {
	var list []*reactive.Relation
	for rel := range ep.Relations().Values() {
		if !rel.Broken() {
			list = append(list, rel)
		}
	}
	slices.SortFunc(list, func(a, b *reactive.Relation) int { return cmp.Compare(a.Number(), b.Number()) })
	return list
}

// announce publishes the version, in every hook in which it is missing.
func announce(ctx context.Context, h *reactive.Hook, rels []*reactive.Relation) error {
	leader, err := h.Leader(ctx)
	if err != nil || leader == nil {
		return err
	}
	for _, rel := range rels {
		bag, err := rel.ToPublishApp(ctx, leader)
		if err != nil {
			return err
		}
		if text := strconv.Itoa(version); bag.Raw(versionKey) != text {
			if err := bag.SetRaw(versionKey, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// negotiated returns what the remote application publishes, and whether both
// sides have a version in common.
func negotiated(ctx context.Context, h *reactive.Hook, rel *reactive.Relation) (*reactive.Databag, bool, error) {
	bag, err := rel.ReceivedApp(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the other side of relation %s: %w", rel.ID(), err)
	}
	text := bag.Raw(versionKey)
	if text == "" {
		return bag, false, nil
	}
	remote, ok := integerText(text)
	if !ok || remote < 1 {
		h.Log().Warn("the other side of the relation has no usable version", "relation", rel.ID(), "version", quoted(text))
		return bag, false, nil
	}
	return bag, true, nil
}

// names returns the names in the keys of a databag that begin with prefix,
// sorted.
func names(bag *reactive.Databag, prefix string) []string {
	var list []string
	for _, key := range bag.Keys() {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// inOwnHook reports whether the hook is one of the endpoint's relations.
func inOwnHook(ep *reactive.Endpoint, h *reactive.Hook) bool {
	e := h.Event()
	return e.Endpoint == ep.Name() && e.RelationHook() != ""
}

// write publishes a JSON text, unless the same value is there in another
// spelling.
func write(bag *reactive.Databag, key, text string) error {
	if bag.Has(key) && canonicaljson.Canonical(bag.Raw(key)) == canonicaljson.Canonical(text) {
		return nil
	}
	return bag.SetRaw(key, text)
}
