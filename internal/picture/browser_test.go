package picture_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/charmed-go/charms/internal/picture"
)

// A tab is a page in a headless Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func openTab(t *testing.T) *tab {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no Chromium")
		}
		t.Skip("there is no Chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.WindowSize(1400, 900), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.complaints = append(p.complaints, m.String())
			p.mu.Unlock()
		}
	}()
	return p
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err, p.said())
	}
}

// open opens a page and waits until it is ready.
func (p *tab) open(page string) {
	p.t.Helper()
	p.do(chromedp.Navigate("file://"+page), chromedp.WaitVisible(chromedp.CSS(`body[data-ready="true"]`)))
}

func (p *tab) click(css string) { p.t.Helper(); p.do(chromedp.Click(chromedp.CSS(css))) }
func (p *tab) typeText(css, text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS(css), text))
}

// clearFilter empties the filter as a person would.
func (p *tab) clearFilter() {
	p.t.Helper()
	value[bool](p, `(() => { const f = document.getElementById("filter"); f.value = ""; return f.dispatchEvent(new Event("input")); })()`)
}

// await waits until the JavaScript expression holds.
func (p *tab) await(js string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](js, chromedp.WithPollingTimeout(15*time.Second), chromedp.WithPollingInterval(20*time.Millisecond)))
	if err != nil {
		p.t.Fatalf("%s never holds: %v %v", js, err, p.said())
	}
}

func (p *tab) scheme(name string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	}))
}

func value[T any](p *tab, js string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v %v", js, err, p.said())
	}
	return v
}

func (p *tab) text(id string) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf(`document.getElementById(%q).textContent`, id))
}

// shoot keeps a screenshot where PICTURE_SCREENSHOTS says, for people to look at.
func (p *tab) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("PICTURE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// said returns all that the browser's console says.
func (p *tab) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complaints
}

func (p *tab) quiet() {
	p.t.Helper()
	if list := p.said(); len(list) > 0 {
		p.t.Errorf("the browser complains: %q", list)
	}
}

func writePage(t *testing.T, p picture.Page) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := picture.Write(f, p); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

const zooming = `new Promise(done => {
	const canvas = document.getElementById("canvas"), start = performance.now();
	let left = 20;
	const step = () => {
		canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: left > 10 ? -300 : 300, bubbles: true, cancelable: true}));
		if (--left) requestAnimationFrame(step); else done((performance.now() - start) / 20);
	};
	requestAnimationFrame(step);
})`

func TestPageOfManyHooks(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	const n = 10_000
	page := writePage(t, model(n))
	p.scheme("light")
	p.open(page)
	t.Logf("%d hooks are ready after %.0f ms", n, value[float64](p, "performance.now()"))
	if got, items := p.text("count"), value[int](p, `document.querySelectorAll("#rows li").length`); got != "10000 hooks" || items == 0 || items > 200 {
		t.Errorf("the list says %q and has %d items in the page", got, items)
	}
	if got := p.text("detail"); !strings.Contains(got, "10000 hooks of ") || !strings.Contains(got, "Failed") || !strings.Contains(got, "Slowest") {
		t.Errorf("the page opens with %.300q", got)
	}
	p.shoot("timeline-light")

	// A click on the timeline shows the hook under it.
	p.do(chromedp.MouseClickXY(700, 120))
	p.await(`document.getElementById("detail").textContent.includes("What happened")`)
	if got := p.text("detail"); !strings.Contains(got, "web/") || !strings.Contains(got, "What did not run, and why") {
		t.Errorf("a click on the timeline shows %.300q", got)
	}
	t.Logf("zooming takes %.1f ms a frame", value[float64](p, zooming))

	// The filter finds the hooks that failed, and the buttons go through them.
	p.typeText("#filter", "failed unit:web/ hook:relation")
	p.await(`document.getElementById("count").textContent.includes(" of 10000")`)
	var found, of int
	if _, err := fmt.Sscanf(p.text("count"), "%d of %d hooks", &found, &of); err != nil || found == 0 || found > 10 {
		t.Errorf("the filter says %q", p.text("count"))
	}
	p.click("#next")
	p.await(`document.getElementById("detail").textContent.includes("connection refused")`)
	first := p.text("detail")
	p.shoot("failed-light")
	p.click("#next")
	if p.text("detail") == first {
		t.Error("the next match is the same hook")
	}

	// From a handler of the hook to its place among the flags.
	p.click("#detail .link.handler")
	p.await(`document.getElementById("node").textContent.includes("waits for")`)
	p.shoot("node-light")
	p.clearFilter()
	p.click("#tab-graph")
	p.await(`document.querySelectorAll("#svg g.hnd").length === 50`)
	p.shoot("graph-light")
	p.typeText("#filter", `"handler 7"`)
	p.await(`document.querySelectorAll("#svg g.hnd").length < 50`)
	p.click(`#svg g[data-id="h:handler 7"]`)
	p.await(`document.getElementById("node").textContent.includes("web.step-6 and not web.step-7")`)

	// Dark, if the reader's desktop is.
	p.scheme("dark")
	p.shoot("node-dark")
	p.click("#tab-timeline")
	p.clearFilter()
	p.await(`document.getElementById("count").textContent === "10000 hooks"`)
	p.click("#zoom-in")
	p.click("#zoom-in")
	p.await(`getComputedStyle(document.body).backgroundColor === "rgb(21, 24, 29)"`)
	p.shoot("timeline-dark")
	p.typeText("#filter", "unit:web/1")
	p.await(`document.getElementById("count").textContent === "250 of 10000 hooks"`)
	for range 10 {
		p.click("#zoom-in")
	}
	p.shoot("zoomed-dark")
	p.quiet()
}

func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	p.open(writePage(t, model(40)))
	overview := p.text("detail")
	p.do(chromedp.KeyEvent("n"), chromedp.KeyEvent("t"))
	p.await(`document.querySelector("#rows li[aria-current=true]") !== null`)
	p.await(`document.getElementById("axis").getAttribute("aria-pressed") === "true"`)
	p.do(chromedp.KeyEvent(kb.Escape))
	if got := p.text("detail"); got != overview {
		t.Errorf("Escape leads to %.300q", got)
	}
	// A box keeps the focus when it is picked and let go.
	p.click("#tab-graph")
	value[bool](p, `(document.querySelector('#svg g[data-id="h:handler 7"]').focus(), true)`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.await(`document.activeElement.dataset.id === "h:handler 7" && document.activeElement.getAttribute("aria-pressed") === "true"`)
	p.do(chromedp.KeyEvent(" "))
	p.await(`document.activeElement.dataset.id === "h:handler 7" && document.activeElement.getAttribute("aria-pressed") === "false"`)
	// What can be pressed has a name, and everything that looks like a link can
	// be reached.
	p.click("#tab-timeline")
	if got := value[[]string](p, `[...document.querySelectorAll("button, canvas, [role=button], a")].filter(e => e.tagName === "A" || !(e.textContent.trim() || e.getAttribute("aria-label"))).map(e => e.outerHTML)`); len(got) > 0 {
		t.Errorf("without a name, or out of reach, are %q", got)
	}
	p.quiet()
}

func TestPageSaysWhy(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	expr := func(text string, names ...string) []picture.Condition {
		e, err := picture.ParseExpr(text, names)
		if err != nil {
			t.Fatal(err)
		}
		return []picture.Condition{{Kind: "flags", Text: text, Expr: e}}
	}
	no := false
	hook := picture.Hook{
		Unit: "web/0", Hook: "start", Leader: &no, Flags: []string{"a"}, Rounds: 1,
		Steps: []picture.Step{
			{Phase: "start", Flag: "config.changed", Set: true},
			{Phase: "flags", Handler: "ran"}, {Phase: "flags", Handler: "ran", Flag: "b", Set: true},
			// A trace may come from anywhere: no page waits for the rounds between.
			{Phase: "flags", Round: 1 << 40, Handler: "ran"},
			{Phase: "end", Flag: "config.changed"},
		},
	}
	p.open(writePage(t, picture.Page{Title: "why", Hooks: []picture.Hook{hook}, Graphs: []picture.Graph{{Charm: "web", Handlers: []picture.Handler{
		{Name: "ran", When: "a and not c", On: expr("a and not c", "a", "c")},
		{Name: "missing", When: "c", On: expr("a and c", "a", "c")},
		{Name: "too late", When: "not b", On: expr("not (b or c)", "b", "c")},
		{Name: "in the way", When: "not a", On: expr("not (a or c)", "a", "c")},
		{Name: "cleared at the end", When: "config.changed and c", On: expr("config.changed and c", "config.changed", "c")},
		{Name: "either", When: "c or d", On: expr("c or d", "c", "d")},
		{Name: "hook", When: "hook stop", On: []picture.Condition{{Kind: "hook", Text: "hook stop", Hooks: []string{"stop"}}}},
		{Name: "leader", When: "leader", On: append(expr("a", "a"), picture.Condition{Kind: "leader", Text: "leader"})},
		{Name: "once", When: "once", On: append(expr("a", "a"), picture.Condition{Kind: "once", Text: "once"})},
	}}}}))
	p.do(chromedp.KeyEvent("n"))
	p.await(`document.querySelector("table.why") !== null`)
	if got := value[string](p, `document.querySelector(".because").textContent`); got != "because a is set and c is not set" {
		t.Errorf("it ran %s", got)
	}
	got := value[[]string](p, `[...document.querySelectorAll("table.why tr")].map(r => [...r.cells].map(c => c.textContent).join(": "))`)
	want := []string{
		"missing: c was not set",
		"too late: ran set b before its turn",
		"in the way: a was set",
		"cleared at the end: c was not set",
		"either: c was not set and d was not set",
		"hook: it waits for hook stop; this was start",
		"leader: this unit was not the leader",
		"once: it had run before in the unit's life",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p.quiet()
}
