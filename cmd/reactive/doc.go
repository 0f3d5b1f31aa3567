// Command reactive starts, packs, checks and tries charms written in Go.
//
//	reactive init web          a charm that builds, tests, packs and runs
//	reactive pack              web_amd64.charm, web_arm64.charm, …
//	reactive lint              what the charm and its charmcraft.yaml disagree on
//	reactive simulate b.yaml   the charm in a simulated Juju
//	reactive trace FILES       what happened, as a page for a browser
//
// "reactive help COMMAND" explains each with an example. What a charm did on a
// unit, and why, the charm's own binary says: see "./dispatch help" there.
package main
