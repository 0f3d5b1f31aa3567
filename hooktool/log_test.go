package hooktool_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/charmed-go/charms/hooktool"
)

// A logbook is a Transport that keeps what juju-log is given, as "LEVEL text".
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (b *logbook) Call(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
	if call.Tool != "juju-log" || len(call.Args) != 4 || call.Args[0] != "-l" || call.Args[2] != "--" {
		return hooktool.Result{}, errors.New("not a call of juju-log: " + call.Tool + " " + strings.Join(call.Args, " "))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, call.Args[1]+" "+call.Args[3])
	return hooktool.Result{}, nil
}

func (b *logbook) Close() error { return nil }

func TestLogHandler(t *testing.T) {
	t.Parallel()
	var b logbook
	log := slog.New(hooktool.NewLogHandler(hooktool.New(&b), &hooktool.LogOptions{
		Level: hooktool.LevelTrace,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == "password" {
				a.Value = slog.StringValue("***")
			}
			return a
		},
	}))
	ctx := t.Context()
	log.Log(ctx, hooktool.LevelTrace, "t")
	log.Debug("d", "n", 1)
	log.Info("--help me", "why", "two words", "password", "hush")
	log.With("unit", "db/0").WithGroup("g").With("msg", "", "level", slog.LevelInfo).Warn("w", "x", true)
	log.Error("", "level", slog.LevelInfo, "msg", "", "err", errors.New("line\nfeed"))
	log.Log(ctx, hooktool.LevelTrace-1, "too low")
	log.Info("plain")
	want := []string{
		"TRACE t",
		"DEBUG d n=1",
		`INFO --help me why="two words" password=***`,
		`WARNING w unit=db/0 g.msg="" g.level=INFO g.x=true`,
		`ERROR level=INFO msg="" err="line\nfeed"`,
		"INFO plain",
	}
	if !slices.Equal(b.lines, want) {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(b.lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestLogHandlerDefaults(t *testing.T) {
	t.Parallel()
	var b logbook
	log := slog.New(hooktool.NewLogHandler(hooktool.New(&b), nil))
	log.Debug("no")
	log.Info("yes")
	if want := []string{"INFO yes"}; !slices.Equal(b.lines, want) {
		t.Errorf("logged %q, want %q", b.lines, want)
	}
}

// The handler keeps to the rules of package slog.
func TestLogHandlerRules(t *testing.T) {
	t.Parallel()
	books := map[string]*logbook{}
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		b := new(logbook)
		books[t.Name()] = b
		return hooktool.NewLogHandler(hooktool.New(b), nil)
	}, func(t *testing.T) map[string]any {
		lines := books[t.Name()].lines
		if len(lines) != 1 {
			t.Fatalf("logged %q, want one line", lines)
		}
		words := strings.Split(lines[0], " ")
		got := map[string]any{slog.LevelKey: words[0], slog.MessageKey: words[1]}
		if !strings.HasSuffix(t.Name(), "/zero-time") {
			got[slog.TimeKey] = time.Now() // Juju's log has its own
		}
		for _, word := range words[2:] {
			path, value, _ := strings.Cut(word, "=")
			m := got
			keys := strings.Split(path, ".")
			for _, key := range keys[:len(keys)-1] {
				if m[key] == nil {
					m[key] = map[string]any{}
				}
				m = m[key].(map[string]any)
			}
			m[keys[len(keys)-1]] = value
		}
		return got
	})
}

func TestLogSplits(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"short":      "x",
		"empty":      "",
		"exact":      strings.Repeat("x", 16<<10),
		"lines":      strings.Repeat("a line of some length\n", 3000),
		"no lines":   strings.Repeat("é", 50_000),
		"first line": "\n" + strings.Repeat("x", 40<<10),
	} {
		var b logbook
		if err := hooktool.New(&b).Log(t.Context(), slog.LevelInfo, message); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, line := range b.lines {
			line = strings.TrimPrefix(line, "INFO ")
			if len(line) > 16<<10 || !utf8.ValidString(line) || name == "lines" && !strings.HasSuffix(line, "\n") {
				t.Errorf("%s: a part has %d bytes, ends %q", name, len(line), line[len(line)-10:])
			}
			got.WriteString(line)
		}
		if got.String() != message {
			t.Errorf("%s: logged %d bytes of %d, or others", name, got.Len(), len(message))
		}
	}
	var b logbook
	if err := hooktool.New(&b).Log(t.Context(), slog.LevelInfo, strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if last := b.lines[len(b.lines)-1]; len(b.lines) != 16 || !strings.HasSuffix(last, "… (786432 bytes left out)") {
		t.Errorf("%d calls, the last ends %q", len(b.lines), last[len(last)-40:])
	}
}

// A Juju that does not answer cannot hold up the charm for its log, and a
// charm that is told to stop can still say so.
func TestLogHandlerContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := tools(func(ctx context.Context, _ hooktool.Call) (hooktool.Result, error) {
			<-ctx.Done()
			return hooktool.Result{}, ctx.Err()
		})
		for _, timeout := range []time.Duration{0, time.Second} {
			start := time.Now()
			h := hooktool.NewLogHandler(hooktool.New(stuck), &hooktool.LogOptions{Timeout: timeout})
			err := h.Handle(t.Context(), slog.NewRecord(start, slog.LevelInfo, "x", 0))
			if timeout == 0 {
				timeout = 10 * time.Second
			}
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != timeout {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		}
	})
	var b logbook
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	slog.New(hooktool.NewLogHandler(hooktool.New(tools(func(ctx context.Context, call hooktool.Call) (hooktool.Result, error) {
		if err := ctx.Err(); err != nil {
			return hooktool.Result{}, err
		}
		return b.Call(ctx, call)
	})), nil)).InfoContext(ctx, "stopping")
	if want := []string{"INFO stopping"}; !slices.Equal(b.lines, want) {
		t.Errorf("logged %q, want %q", b.lines, want)
	}
}
