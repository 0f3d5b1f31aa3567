// Package picture makes a page of what charms did: a timeline of hooks, with
// units as rows, and the graph of handlers and flags. The page is one HTML
// file that needs no network and can be mailed.
//
//	hooks, err := picture.Read(trace) // one JSON object a line
//	err = picture.Write(w, picture.Page{
//		Title:  "web, seed 7",
//		Hooks:  hooks,
//		Graphs: []picture.Graph{{Charm: "web", Handlers: handlers}},
//	})
//
// It takes the records that a charm keeps of its own dispatches, and the
// traces of simulated models, which hold the same and the calls of hook tools
// besides. Neither holds values of data, so no secret can get into a page;
// [SafeArgs] sees to it for the arguments of hook tools.
//
// The page stays quick with tens of thousands of hooks: it draws only what is
// visible.
package picture
