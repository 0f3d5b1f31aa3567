// Package explore runs one and the same model in many legal orders of its
// hooks, with hooks killed at random points, and says whether all of them end
// in the same state.
//
//	result, err := explore.Run(ctx, explore.Options{
//		Runs: 1000,
//		Steps: []explore.Step{
//			func(m *jujusim.Model) error { return m.Deploy("web", web, jujusim.DeployOptions{Units: 3}) },
//			func(m *jujusim.Model) error { return m.Deploy("lb", lb, jujusim.DeployOptions{}) },
//			func(m *jujusim.Model) error { _, err := m.Relate("web", "lb"); return err },
//		},
//	})
//	if err == nil && result.Difference != nil {
//		err = result.Difference // the seed, what differs, and the story
//	}
//
// Juju promises little about the order in which the units of a model run their
// hooks, so a charm must come to the same end in each. The first run, without
// kills, says what that end is. Every other run takes its own seed, lets hooks
// run between the operator's steps, and kills some. What may differ between
// runs without meaning anything, such as random ids, is masked; see [State].
package explore
