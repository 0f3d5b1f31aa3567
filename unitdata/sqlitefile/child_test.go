package sqlitefile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/charmed-go/charms/internal/canonicaljson"
	simagent "github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// A child is a process of this test program that runs one hook, as Juju would
// start one, and may kill itself in the middle of it.
type child struct {
	// Mode is "read" (only the file), "store" or "import".
	Mode string
	Path string
	// KillAt is the step at which the process kills itself; 0 for none.
	KillAt int
	// State is the charm state that Juju keeps.
	State map[string]string
	// Hook is the hook's number, which decides what it does.
	Hook int
}

const (
	childEnv  = "SQLITEFILE_TEST_CHILD"
	resultEnv = "SQLITEFILE_TEST_RESULT"
)

// TestMain is also the program of children, of hook tools and of a charm.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); slices.Contains(simagent.ToolNames(""), name) {
		os.Exit(jujuc.Main(name, os.Args[1:]))
	}
	if len(os.Args) == 3 && os.Args[1] == "refreshed" {
		open := sqlitefile.Upgrade
		if os.Args[2] == "keep" {
			open = sqlitefile.Keep
		}
		os.Args = os.Args[:1]
		reactive.Main(func() *reactive.Charm { return refreshed(open) })
	}
	if text := os.Getenv(childEnv); text != "" {
		var c child
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			panic(err)
		}
		if err := c.run(context.Background()); err != nil {
			fmt.Print(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild runs a child that reads, and returns what it printed.
func runChild(t *testing.T, c child) string {
	t.Helper()
	out, _, err := c.start(t)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out
}

// start runs a child and returns what it printed and the charm state it wants
// to have stored.
func (c child) start(t *testing.T) (out string, state map[string]string, err error) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	result := t.TempDir() + "/state"
	cmd := exec.Command(os.Args[0])
	// The race detector otherwise makes every process end a second later.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childEnv+"="+string(text), resultEnv+"="+result)
	printed, err := cmd.Output()
	if err == nil && c.Mode != "read" {
		data, readErr := os.ReadFile(result)
		if readErr != nil {
			t.Fatal(readErr)
		}
		err = json.Unmarshal(data, &state)
	}
	return string(printed), state, err
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func (c child) run(ctx context.Context) error {
	o := sqlitefile.Options{Path: c.Path, Wait: -1}
	if c.Mode == "read" {
		if _, err := sqlitefile.Read(ctx, o); err != nil {
			return err
		}
		fmt.Print("read")
		return nil
	}
	steps := 0
	step := func(string) {
		if steps++; steps == c.KillAt {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	a := newAgent()
	if c.State != nil {
		a.Committed = c.State
		a.discard()
	}
	var store unitdata.Store
	if c.Mode == "store" {
		s := sqlitefile.NewStore(a.tools(), o)
		s.SetStep(step)
		defer s.Close()
		store = s
	} else {
		i := sqlitefile.Import(unitdata.NewJujuState(a.tools()), o)
		i.SetStep(step)
		store = i
	}
	if err := hook(ctx, store, c.Hook); err != nil {
		return err
	}
	step("exit")
	data, err := json.Marshal(a.Pending)
	if err != nil {
		return err
	}
	return os.WriteFile(os.Getenv(resultEnv), data, 0o600)
}

// hook is what a charm does to its unit data in its hooks: it counts them,
// adds and removes flags, sees new data of one unit and forgets another.
func hook(ctx context.Context, store unitdata.Store, number int) error {
	data, err := unitdata.Open(ctx, store)
	if err != nil {
		return err
	}
	count := 0
	if _, err := data.Get("count", &count); err != nil {
		return err
	}
	if err := data.Set("count", count+1); err != nil {
		return err
	}
	if err := data.Set(fmt.Sprintf("reactive.states.hook-%d", number), nil); err != nil {
		return err
	}
	data.Unset(fmt.Sprintf("reactive.states.hook-%d", number-2))
	data.Unset("reactive.endpoints.departed.db")
	bag := unitdata.Bag{Relation: "db:1", Name: "mysql/0"}
	if _, err := data.Seen(ctx, bag); err != nil {
		return err
	}
	data.Note(bag, "host", unitdata.SumOf(canonicaljson.Canonical(fmt.Sprint(number/2))))
	data.Note(bag, fmt.Sprintf("key-%d", number), unitdata.SumOf("1"))
	if number == 2 {
		data.Forget(unitdata.Bag{Relation: "db:1", Name: "mysql/1"})
	}
	return data.Commit(ctx)
}
