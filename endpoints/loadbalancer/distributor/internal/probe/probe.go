// Package probe lets a test stop a process at a named point of its work, to
// show that what is left behind can be resumed. The probe travels in the
// context, so nothing is global and nothing is called where there is none.
package probe

import "context"

type key struct{}

// With returns a context that carries f. It is called with the name of each
// point that work done with the context passes, by whichever goroutine passes
// it.
func With(ctx context.Context, f func(point string)) context.Context {
	return context.WithValue(ctx, key{}, f)
}

// Hit tells the probe of ctx, if there is one, that point is passed.
func Hit(ctx context.Context, point string) {
	if f, ok := ctx.Value(key{}).(func(string)); ok {
		f(point)
	}
}
