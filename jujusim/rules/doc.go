// Package rules holds what is true of every sequence of hooks that Juju
// dispatches to the units of a model, as a checker: it reads what ran, with
// which environment and what it saw, and names each rule that was broken, with
// the unit and the dispatch.
//
//	for _, v := range rules.Check(web0, web1, db0) {
//		t.Error(v)
//	}
//
// A [Sequence] is the life of one unit as the charm's own process saw it: its
// dispatches in order, the JUJU_* variables of each, what it read through the
// hook tools and what it wrote. The sequences may come from a real Juju or from
// the simulated one; the rules are the same. A rule that needs something which
// a sequence does not hold (a dispatch without reads, say) has nothing to say
// about it.
//
// The rules are those of Juju 4.0.15 as recorded from a real controller; where
// 3.6 is laxer or stricter, the sentence of the rule says so. They deliberately
// leave out what Juju promises nobody: the order among relations, how many
// config-changed follow one command, whether peers are told of a removed unit.
package rules
