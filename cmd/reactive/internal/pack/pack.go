package pack

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
)

// Options say what to pack. The zero value packs the charm in the working
// directory, for all its platforms, into the working directory.
type Options struct {
	// Dir is the directory with the charmcraft.yaml.
	Dir string
	// OutDir is where the archives go.
	OutDir string
	// Platforms are the names of the platforms to pack; empty means all.
	Platforms []string
	// Version is what "juju status" shows as the charm's version; "" asks
	// git describe, and does without where there is no git.
	Version string
	// GoTool is the Go command; "" is "go".
	GoTool string
	// Report, if not nil, is told of each step while it happens.
	Report func(Event)
}

// A Step is what an [Event] tells of.
type Step int

// The steps of packing, for each platform.
const (
	// Building: the Go program Program is about to be built.
	Building Step = iota
	// Compiling: the Go package Package is being compiled for it.
	Compiling
	// Packed: the archive Result is written.
	Packed
)

// An Event is a step of packing.
type Event struct {
	Platform string
	Step     Step
	Program  string
	Package  string
	Result   Result
}

// A Result is an archive that was written.
type Result struct {
	Platform, Path string
	// Size is in bytes.
	Size int
	// Version is what the file version in it says; "" if there is none.
	Version string
}

// A RefusedError says that Juju would not take the charm, or that it would
// not work.
type RefusedError struct {
	Charm      string
	Violations []archive.Violation
}

// Error names each broken rule, what breaks it, and the rule's sentence.
func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "charm %q would be refused:", e.Charm)
	for _, v := range e.Violations {
		fmt.Fprintf(&b, "\n  %s\n    %s", v, v.Rule.Sentence)
	}
	return b.String()
}

// Pack makes the archives NAME_PLATFORM.charm. A charm that Juju would refuse
// is a *[RefusedError]; it is found before anything is compiled, but for what
// only the compiled charm can show, and then no archive is written.
func Pack(ctx context.Context, opts Options) ([]Result, error) {
	dir, outDir := orDot(opts.Dir), orDot(opts.OutDir)
	p, err := readProject(dir)
	if err != nil {
		return nil, err
	}
	platforms, err := p.platforms(opts.Platforms)
	if err != nil {
		return nil, err
	}
	for _, pl := range platforms {
		if err := p.checkDescriptions(pl); err != nil {
			return nil, err
		}
	}
	tmp, err := os.MkdirTemp("", "reactive-pack-")
	if err != nil {
		return nil, fmt.Errorf("cannot pack: %w", err)
	}
	defer os.RemoveAll(tmp)
	b := &builder{goTool: opts.GoTool, outDir: outDir, tmp: tmp, report: opts.Report}
	if b.goTool == "" {
		b.goTool = "go"
	}
	if b.report == nil {
		b.report = func(Event) {}
	}
	version := opts.Version
	if version == "" {
		version = describe(ctx, dir)
	}
	type packed struct {
		Result
		data []byte
	}
	var all []packed
	for _, pl := range platforms {
		files := make(archive.Files)
		if err := p.addParts(ctx, files, pl, b); err != nil {
			return nil, err
		}
		if err := p.addDescriptions(files, pl); err != nil {
			return nil, err
		}
		if version != "" {
			files["version"] = archive.File{Data: []byte(version + "\n")}
		}
		var buf bytes.Buffer
		if err := archive.Write(&buf, files); err != nil {
			return nil, err
		}
		if err := p.check(buf.Bytes(), programsIn(files)...); err != nil {
			return nil, err
		}
		path := filepath.Join(outDir, p.charm.Name+"_"+pl.file+".charm")
		all = append(all, packed{Result{pl.name, path, buf.Len(), version}, buf.Bytes()})
	}
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot pack: %w", err)
	}
	var results []Result
	for _, x := range all {
		if err := renameio.WriteFile(x.Path, x.data, 0o644); err != nil {
			return results, fmt.Errorf("cannot write %s: %w", x.Path, err)
		}
		results = append(results, x.Result)
		b.report(Event{Platform: x.Platform, Step: Packed, Result: x.Result})
	}
	return results, nil
}

func orDot(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// checkDescriptions checks all but what the parts bring.
func (p *project) checkDescriptions(pl platform) error {
	files := archive.Files{"dispatch": {Executable: true}}
	if err := p.addDescriptions(files, pl); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := archive.Write(&buf, files); err != nil {
		return err
	}
	return p.check(buf.Bytes())
}

// check checks a finished archive. Programs are what the parts built; one of
// them is likely to be the missing dispatch.
func (p *project) check(data []byte, programs ...string) error {
	zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("cannot read what was packed: %w", err)
	}
	found := archive.Check(zr)
	for i, v := range found {
		if v.Rule == archive.DispatchPresent && len(programs) > 0 {
			found[i].Detail += fmt.Sprintf("; the parts build %s: give the part organize: {%s: dispatch}", strings.Join(programs, ", "), programs[0])
		}
	}
	if len(found) > 0 {
		return &RefusedError{p.charm.Name, found}
	}
	return nil
}

func programsIn(files archive.Files) []string {
	var names []string
	for name := range files {
		if strings.HasPrefix(name, "bin/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// describe returns what git says of the sources, or "".
func describe(ctx context.Context, dir string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
