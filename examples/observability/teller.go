package main

import (
	"fmt"
	"io"
	"strings"
)

// teller tells how the run goes: a line for each step. On a terminal the line
// shows what is being done, while it is.
type teller struct {
	out io.Writer
	// width is that of the terminal, 0 if there is none.
	width int

	line  string // the step that goes on, "" for none
	apart bool   // other lines stand between it and its result
}

// say prints a line of its own.
func (t *teller) say(format string, args ...any) {
	if t.line != "" && !t.apart {
		t.clear()
		fmt.Fprintln(t.out)
		t.apart = true
	}
	fmt.Fprintf(t.out, format+"\n", args...)
}

// begin begins the line of a step.
func (t *teller) begin(step string) {
	t.line, t.apart = step+" ...", false
	fmt.Fprint(t.out, t.line)
}

// doing shows what is being done for the step.
func (t *teller) doing(what string) {
	shown := t.line + " " + what
	if t.line == "" || t.apart || len(t.line) >= t.width-1 {
		return
	}
	t.clear()
	fmt.Fprint(t.out, shown[len(t.line):min(len(shown), t.width-1)])
}

// clear leaves of the line what begin printed, if there is more.
func (t *teller) clear() {
	if len(t.line) < t.width-1 {
		fmt.Fprint(t.out, "\r\x1b[K"+t.line)
	}
}

// end ends the line of the step.
func (t *teller) end(result string) {
	if t.apart {
		fmt.Fprint(t.out, strings.Repeat(" ", indent))
	} else {
		t.clear()
		fmt.Fprint(t.out, " ")
	}
	fmt.Fprintln(t.out, result)
	t.line = ""
}

// indent is how far the words of a step are from the edge, behind the time.
const indent = len("   0.0 s  ")
