package charmlint

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"strings"
)

// The packages of the framework whose calls mean something here.
const (
	framework    = "github.com/charmed-go/charms"
	reactivePath = framework + "/reactive"
	flagsPath    = framework + "/flags"
	unitdataPath = framework + "/unitdata"
)

// A flagFact is what the code does with one of the charm's own flags.
type flagFact struct {
	name     string
	declared token.Pos
	set      bool // somebody may set it
	cleared  bool
	read     bool // somebody looks at it
}

// An effect is what a handler's code may do to flags.
type effect struct {
	sets, clears map[string]bool
	// toggles are those of both that come from one Toggle.
	toggles map[string]bool
}

// facts are what the code says.
type facts struct {
	p     *program
	flags map[string]*flagFact
	// objects are the variables and fields that hold a flag.
	objects map[types.Object]string
	// bodies are the functions of the program, and handlers the functions that
	// handlers run, by handler.
	bodies   map[types.Object]*body
	handlers map[string][]*body
	effects  map[string]*effect
	// options are the options that code names, and where; unknown ones are
	// told by their places. texts are all constant strings.
	options []optionUse
	texts   map[string]bool
	// growth are calls that keep unit data under keys made at run time, and
	// shrinks says that something removes such keys.
	growth  []growth
	shrinks bool
}

type body struct {
	node ast.Node
	pkg  *sourcePackage
}

type optionUse struct {
	name string
	pos  token.Pos
	// typ is the type of the field that takes it, nil if it is not a field.
	typ types.Type
}

type growth struct {
	pos  token.Pos
	what string
}

func factsOf(p *program) *facts {
	f := &facts{
		p: p, flags: make(map[string]*flagFact), objects: make(map[types.Object]string),
		bodies: make(map[types.Object]*body), handlers: make(map[string][]*body), effects: make(map[string]*effect), texts: make(map[string]bool),
	}
	f.each(f.declarations)
	f.each(f.uses)
	for name, bodies := range f.handlers {
		e := &effect{make(map[string]bool), make(map[string]bool), make(map[string]bool)}
		seen := make(map[ast.Node]bool)
		for _, b := range bodies {
			f.collect(e, b, seen)
		}
		f.effects[name] = e
	}
	return f
}

// each calls visit for each node of the program, with its ancestors.
func (f *facts) each(visit func(pkg *sourcePackage, n ast.Node, above []ast.Node)) {
	for _, pkg := range f.p.packages {
		for _, file := range pkg.files {
			var stack []ast.Node
			ast.Inspect(file, func(n ast.Node) bool {
				if n == nil {
					stack = stack[:len(stack)-1]
					return true
				}
				visit(pkg, n, stack)
				stack = append(stack, n)
				return true
			})
		}
	}
}

// method returns the path of the package and the names of the type and the
// method that a call calls, or of the function with an empty type.
func method(pkg *sourcePackage, call *ast.CallExpr) (path, typ, name string) {
	fn := callee(pkg, call)
	if fn == nil || fn.Pkg() == nil {
		return "", "", ""
	}
	sig := fn.Signature()
	if recv := sig.Recv(); recv != nil {
		t := recv.Type()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		if n, ok := types.Unalias(t).(*types.Named); ok {
			typ = n.Obj().Name()
		}
	}
	return fn.Pkg().Path(), typ, fn.Name()
}

func callee(pkg *sourcePackage, call *ast.CallExpr) *types.Func {
	fun := ast.Unparen(call.Fun)
	switch x := fun.(type) {
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	var id *ast.Ident
	switch x := fun.(type) {
	case *ast.Ident:
		id = x
	case *ast.SelectorExpr:
		id = x.Sel
	default:
		return nil
	}
	fn, _ := pkg.info.Uses[id].(*types.Func)
	if fn != nil {
		fn = fn.Origin()
	}
	return fn
}

// text returns the value of a constant string.
func text(pkg *sourcePackage, e ast.Expr) (string, bool) {
	v := pkg.info.Types[e].Value
	if v == nil || v.Kind() != constant.String {
		return "", false
	}
	return constant.StringVal(v), true
}

// object returns the variable or field that an expression names.
func object(pkg *sourcePackage, e ast.Expr) types.Object {
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		if o := pkg.info.Uses[x]; o != nil {
			return o
		}
		return pkg.info.Defs[x]
	case *ast.SelectorExpr:
		return pkg.info.Uses[x.Sel]
	}
	return nil
}

// declarations finds flags, functions and constant strings.
func (f *facts) declarations(pkg *sourcePackage, n ast.Node, above []ast.Node) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if o := pkg.info.Defs[n.Name]; o != nil && n.Body != nil {
			f.bodies[o] = &body{n.Body, pkg}
		}
	case *ast.BasicLit:
		if s, ok := text(pkg, n); ok {
			f.texts[s] = true
		}
	case *ast.Field:
		if n.Tag != nil {
			tag := reflect.StructTag(strings.Trim(n.Tag.Value, "`"))
			name, _, _ := strings.Cut(tag.Get("json"), ",")
			f.texts[name] = true
		}
	case *ast.CallExpr:
		path, typ, name := method(pkg, n)
		if path != reactivePath || typ != "Charm" || name != "Flag" || len(n.Args) != 1 {
			return
		}
		flag, ok := text(pkg, n.Args[0])
		if !ok {
			return
		}
		f.flags[flag] = &flagFact{name: flag, declared: n.Pos()}
		if o := target(pkg, n, above); o != nil {
			f.objects[o] = flag
		} else {
			// It goes somewhere at once: into a condition, or to other code.
			f.use(f.flags[flag], pkg, n, above)
		}
	}
}

// target returns the variable or field that a value is assigned to.
func target(pkg *sourcePackage, value ast.Expr, above []ast.Node) types.Object {
	if len(above) == 0 {
		return nil
	}
	switch parent := above[len(above)-1].(type) {
	case *ast.KeyValueExpr:
		if parent.Value == value {
			if id, ok := parent.Key.(*ast.Ident); ok {
				if field, ok := pkg.info.Uses[id].(*types.Var); ok {
					return field
				}
			}
		}
	case *ast.AssignStmt:
		if len(parent.Lhs) == len(parent.Rhs) {
			if i := slices.Index(parent.Rhs, value); i >= 0 {
				return object(pkg, parent.Lhs[i])
			}
		}
	case *ast.ValueSpec:
		if i := slices.Index(parent.Values, value); i >= 0 && i < len(parent.Names) {
			return pkg.info.Defs[parent.Names[i]]
		}
	}
	return nil
}

// uses finds what is done with flags, what handlers run, and which options and
// unit data are used.
func (f *facts) uses(pkg *sourcePackage, n ast.Node, above []ast.Node) {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if flag, ok := f.objects[pkg.info.Uses[n.Sel]]; ok {
			f.use(f.flags[flag], pkg, n, above)
		}
	case *ast.Ident:
		flag, ok := f.objects[pkg.info.Uses[n]]
		if !ok {
			return
		}
		// The name of a field stands in a selector, which was seen, or before
		// the colon of a literal, which only declares.
		if len(above) > 0 {
			switch parent := above[len(above)-1].(type) {
			case *ast.SelectorExpr:
				if parent.Sel == n {
					return
				}
			case *ast.KeyValueExpr:
				if parent.Key == n {
					return
				}
			}
		}
		f.use(f.flags[flag], pkg, n, above)
	case *ast.CallExpr:
		f.call(pkg, n)
	case *ast.IndexExpr:
		f.index(pkg, n)
	}
}

// use notes what becomes of a flag at one place in the code.
func (f *facts) use(flag *flagFact, pkg *sourcePackage, e ast.Expr, above []ast.Node) {
	if len(above) == 0 {
		return
	}
	switch parent := above[len(above)-1].(type) {
	case *ast.CallExpr:
		if !slices.Contains(parent.Args, e) {
			// Its own method, such as String.
			flag.read = true
			return
		}
		switch path, typ, name := method(pkg, parent); {
		case path == reactivePath && typ == "Hook" || path == flagsPath && typ == "Set":
			switch name {
			case "Set":
				flag.set = true
				return
			case "Clear":
				flag.cleared = true
				return
			case "Toggle":
				flag.set, flag.cleared = true, true
				return
			case "IsSet", "All", "Any", "None", "NotAll", "Missing", "ChangedLast":
				flag.read = true
				return
			}
		case path == flagsPath && (typ == "" || typ == "Condition"):
			flag.read = true
			return
		}
	case *ast.AssignStmt:
		if slices.Contains(parent.Lhs, e) {
			return
		}
	case *ast.KeyValueExpr:
		if key, ok := parent.Key.(*ast.Ident); ok && f.inTrigger(pkg, above) {
			f.trigger(flag, key.Name)
			return
		}
	case *ast.CompositeLit:
		// []flags.Flag{f} as the value of a trigger's Set or Clear.
		if len(above) > 1 {
			if kv, ok := above[len(above)-2].(*ast.KeyValueExpr); ok && f.inTrigger(pkg, above[:len(above)-1]) {
				if key, ok := kv.Key.(*ast.Ident); ok {
					f.trigger(flag, key.Name)
					return
				}
			}
		}
	}
	// It is passed on, and whoever gets it may do anything.
	flag.set, flag.cleared, flag.read = true, true, true
}

// inTrigger says whether the key and value above are in a literal of a trigger.
func (f *facts) inTrigger(pkg *sourcePackage, above []ast.Node) bool {
	if len(above) < 2 {
		return false
	}
	lit, ok := above[len(above)-2].(*ast.CompositeLit)
	if !ok {
		return false
	}
	named, ok := types.Unalias(pkg.info.Types[lit].Type).(*types.Named)
	return ok && named.Obj().Name() == "Trigger" && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == flagsPath
}

func (f *facts) trigger(flag *flagFact, key string) {
	switch key {
	case "Set":
		flag.set = true
	case "Clear":
		flag.cleared = true
	default:
		flag.read = true
	}
}

// call notes what a call of the framework means.
func (f *facts) call(pkg *sourcePackage, call *ast.CallExpr) {
	path, typ, name := method(pkg, call)
	switch {
	case path == reactivePath && typ == "Charm" && strings.HasPrefix(name, "Handle") && len(call.Args) >= 2:
		if handler, ok := text(pkg, call.Args[0]); ok {
			f.handler(pkg, handler, call.Args[len(call.Args)-1])
		}
	case path == reactivePath && typ == "" && name == "HandleAction" && len(call.Args) == 3:
		if action, ok := text(pkg, call.Args[1]); ok {
			f.handler(pkg, "action "+action, call.Args[2])
		}
	case path == reactivePath && typ == "" && name == "DecodeConfig":
		f.decoded(pkg, call)
	case path == unitdataPath && typ == "Data" && name == "Set", path == reactivePath && typ == "Hook" && (name == "DataChanged" || name == "IsDataChanged"):
		if len(call.Args) > 0 && pkg.info.Types[call.Args[0]].Value == nil {
			what := "unit data"
			if typ == "Hook" {
				what = "what it saw of data"
			}
			f.growth = append(f.growth, growth{call.Pos(), what})
		}
	case path == unitdataPath && typ == "Data" && (name == "Unset" || name == "UnsetRange"):
		f.shrinks = true
	}
}

// handler notes which function a handler runs.
func (f *facts) handler(pkg *sourcePackage, name string, fn ast.Expr) {
	switch x := ast.Unparen(fn).(type) {
	case *ast.FuncLit:
		f.handlers[name] = append(f.handlers[name], &body{x.Body, pkg})
	default:
		if b := f.bodies[originOf(object(pkg, x))]; b != nil {
			f.handlers[name] = append(f.handlers[name], b)
		}
	}
}

func originOf(o types.Object) types.Object {
	if fn, ok := o.(*types.Func); ok {
		return fn.Origin()
	}
	return o
}

// collect adds what a function does to flags, and what the functions do that it
// calls.
func (f *facts) collect(e *effect, b *body, seen map[ast.Node]bool) {
	if seen[b.node] {
		return
	}
	seen[b.node] = true
	ast.Inspect(b.node, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		path, typ, name := method(b.pkg, call)
		if path == reactivePath && typ == "Hook" && len(call.Args) > 0 {
			if flag, ok := f.objects[object(b.pkg, call.Args[0])]; ok {
				switch name {
				case "Set":
					e.sets[flag] = true
				case "Clear":
					e.clears[flag] = true
				case "Toggle":
					e.sets[flag], e.clears[flag], e.toggles[flag] = true, true, true
				}
			}
		}
		if fn := callee(b.pkg, call); fn != nil {
			if next := f.bodies[fn]; next != nil {
				f.collect(e, next, seen)
			}
		}
		return true
	})
}

// decoded notes the options that a struct takes.
func (f *facts) decoded(pkg *sourcePackage, call *ast.CallExpr) {
	var id *ast.Ident
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.IndexExpr:
		switch x := fun.X.(type) {
		case *ast.Ident:
			id = x
		case *ast.SelectorExpr:
			id = x.Sel
		}
	}
	if id == nil || pkg.info.Instances[id].TypeArgs == nil {
		return
	}
	s, ok := pkg.info.Instances[id].TypeArgs.At(0).Underlying().(*types.Struct)
	if !ok {
		return
	}
	for i := range s.NumFields() {
		field := s.Field(i)
		name, _, _ := strings.Cut(reflect.StructTag(s.Tag(i)).Get("json"), ",")
		if name == "" || name == "-" || field.Embedded() {
			continue
		}
		f.options = append(f.options, optionUse{name, field.Pos(), field.Type()})
	}
}

// index notes the options that are read out of the map of all options.
func (f *facts) index(pkg *sourcePackage, n *ast.IndexExpr) {
	name, ok := text(pkg, n.Index)
	if !ok {
		return
	}
	o := object(pkg, n.X)
	if o == nil || !f.isConfig(pkg, o) {
		return
	}
	f.options = append(f.options, optionUse{name, n.Pos(), nil})
}

// isConfig says whether a variable was given what Hook.Config returned.
func (f *facts) isConfig(pkg *sourcePackage, o types.Object) bool {
	found := false
	for _, file := range pkg.files {
		if o.Pos() < file.FileStart || o.Pos() > file.FileEnd {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if !ok || len(assign.Rhs) != 1 || len(assign.Lhs) == 0 || object(pkg, assign.Lhs[0]) != o {
				return true
			}
			if call, ok := assign.Rhs[0].(*ast.CallExpr); ok {
				path, typ, name := method(pkg, call)
				found = found || path == reactivePath && typ == "Hook" && name == "Config"
			}
			return true
		})
	}
	return found
}
