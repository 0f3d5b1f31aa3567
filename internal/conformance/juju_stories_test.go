package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/charmed-go/charms/internal/jujustory"
	"github.com/charmed-go/charms/jujusim/rules"
)

// runJujuStories checks one story that a real Juju recorded: that it keeps the
// rules, that the simulated Juju can run what it ran in its order, with what
// every dispatch saw, and that the replay keeps the rules too.
func runJujuStories(t *testing.T, line []byte) {
	s, err := jujustory.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	dispatches := 0
	for _, sequence := range s.Sequences() {
		dispatches += len(sequence.Dispatches)
	}
	if dispatches == 0 {
		t.Error("the story has no dispatch")
	}
	for _, v := range rules.Check(s.Sequences()...) {
		t.Errorf("recorded: %v", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := jujustory.NewReplay(s)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Run(ctx); err != nil {
		t.Errorf("the simulated Juju does not run what Juju ran: %v", err)
	}
	for _, d := range r.Differences {
		t.Error(d)
	}
	replayed := r.Recorder.Story(r.Model)
	if want, got := s.Dispatches(), replayed.Dispatches(); want != got {
		t.Errorf("recorded were %d dispatches, replayed %d", want, got)
	}
	for _, v := range rules.Check(replayed.Sequences()...) {
		t.Errorf("replayed: %v", v)
	}
}
