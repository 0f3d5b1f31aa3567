//go:build !race

package jujusim_test

const raceEnabled = false
