//go:build race

package jujusim_test

const raceEnabled = true
