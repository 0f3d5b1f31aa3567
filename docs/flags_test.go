package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFlagsReference holds that the reference of flags names every method of
// the framework and of the ready endpoints that returns a flag.
func TestFlagsReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("reference/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"../reactive", "../endpoints/prometheus-manual", "../endpoints/loadbalancer", "../endpoints/magpie"} {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				// Flag makes any flag.
				method, ok := decl.(*ast.FuncDecl)
				if !ok || method.Recv == nil || !method.Name.IsExported() || method.Name.Name == "Flag" || !returnsFlag(method) {
					continue
				}
				found++
				if !regexp.MustCompile(`[a-z]\.` + method.Name.Name + `\(`).Match(text) {
					t.Errorf("reference/flags.md does not name the flag that %s in %s returns", method.Name.Name, path)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("there are only %d such methods", found)
	}
}

func returnsFlag(f *ast.FuncDecl) bool {
	if f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.SelectorExpr)
	if !ok || result.Sel.Name != "Flag" {
		return false
	}
	pkg, ok := result.X.(*ast.Ident)
	return ok && pkg.Name == "flags"
}
