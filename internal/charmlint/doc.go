// Package charmlint finds mistakes in charms that the compiler cannot: flags
// that nobody sets or reads, code and charmcraft.yaml that disagree, handlers
// that can keep each other awake, and unit data that grows without end.
//
//	findings, err := charmlint.Check(ctx, charmlint.Options{Dir: ".", Graph: graph})
//	for _, f := range findings {
//		fmt.Println(f) // charm/web.go:31: flag-never-set: handler "serve" waits for web.ready, which nobody sets
//	}
//
// It looks at two things: at the charm as it is put together, which says what
// each handler waits for, and at the source code, which says what each handler
// may do. Of the code it assumes the worst that is likely and the best that is
// not: a flag that is passed on to other code counts as set and as read there.
// So what it finds is nearly always a mistake, and what it does not find may
// still be one.
package charmlint
