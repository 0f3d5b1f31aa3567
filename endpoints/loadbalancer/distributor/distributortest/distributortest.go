// Package distributortest tests whether a distributor driver keeps the contract
// of [distributor.Driver].
//
// A driver's own test calls [Run] with a function that makes the driver, and
// says where its clients and amphorae are:
//
//	func TestDriver(t *testing.T) {
//		distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
//			return distributortest.Setup{
//				Driver:    noop.New(dir), // the driver to be tested
//				VIP:       netip.MustParseAddr("127.80.0.1"),
//				Amphorae:  []netip.Addr{netip.MustParseAddr("127.80.0.2"), netip.MustParseAddr("127.80.0.3"), netip.MustParseAddr("127.80.0.4")},
//				NoTraffic: true, // as this one moves none
//			}
//		})
//	}
//
// Run opens real connections through the driver, and it kills processes: it
// starts the test binary anew, which calls the same function again with the same
// directory. What the driver needs beside its process, such as a server, must
// then be found again by what is in the directory, not started twice, and what a
// process that is killed leaves running must be ended by the cleanup of one that
// is not.
//
// Each case is a subtest that says, when it fails, which rule is broken and
// why it is one.
package distributortest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/scratch"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// A Setup is a driver and the world that it works in.
type Setup struct {
	Driver distributor.Driver
	// VIP is an address that the driver can receive on. Nothing else uses its
	// ports 28080 and 28081.
	VIP netip.Addr
	// Amphorae are at least three addresses that Listen can listen on, port
	// 29090, and that the driver can send to.
	Amphorae []netip.Addr
	// Listen listens where the amphorae are, Dial dials from where the clients
	// are. Nil: where the test is.
	Listen func(network, address string) (net.Listener, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// NoTraffic says that the driver moves no traffic, so that only what it
	// says is tested.
	NoTraffic bool
	// EveryKill has the driver killed at every point, and not at a sample of
	// them, unless the tests run with -short.
	EveryKill bool
}

const (
	frontPort, otherFrontPort = 28080, 28081
	backPort                  = 29090
)

// patience is how long something may take that has to happen.
const patience = 10 * time.Second

// a testCase is one rule of the contract.
type testCase struct {
	name string
	// why is the rule, and what goes wrong where it is broken.
	why string
	run func(*world)
	// traffic says that the case needs a driver that moves traffic.
	traffic bool
}

func cases() []testCase {
	return []testCase{
		{"names", "Each operation requires and provides the names that the contract gives, so that callers can put it into a bigger flow.", (*world).testNames, false},
		{"create", "A distributor's id is made when the flow runs and is the same for the same load balancer: a hook that runs again must not make a second one.", (*world).testCreate, false},
		{"twice in one flow", "The prefix makes task names unique, so that one flow can do the same operation several times.", (*world).testTwice, false},
		{"again", "Every operation finds its work done when it runs again: after a kill nobody knows how far it came.", (*world).testAgain, false},
		{"unknown ids", "Adding to or draining what is not there is a NotFoundError, since a typing mistake would pass for success; removing it succeeds, since it is gone.", (*world).testUnknown, false},
		{"refuses", "What is malformed is an Unsupported that names the field, before anything is changed: the text comes from another charm.", (*world).testRefuses, false},
		{"cancelled", "With a context that has ended nothing is changed, and the error is the context's.", (*world).testCancelled, false},
		{"revert", "A reverted flow leaves what was there before it, not merely less.", (*world).testRevert, false},
		{"serves", "Clients of the VIP reach every amphora that is registered, and no other.", (*world).testServes, true},
		{"drain", "A drained amphora gets no new connections, while established ones go on in both directions.", (*world).testDrain, true},
		{"drain is bounded", "Waiting for a drain ends when the connections have ended, or when the time is over, and says what was still open.", (*world).testBounded, true},
		{"unregister", "An unregistered amphora stops receiving at once: established connections are cut, also those from before the last change.", (*world).testUnregister, true},
		{"remove VIP", "A removed VIP takes no new connections, and the others are not disturbed.", (*world).testRemoveVIP, true},
		{"change", "Changing a VIP or the amphorae does not disturb the connections to amphorae that stay.", (*world).testChange, true},
		{"concurrent", "Flows of different distributors can run at the same time.", (*world).testConcurrent, false},
		{"batch", "Operations in a batch are in force together at its end; reverted, none is.", (*world).testBatch, false},
	}
}

// Run tests the driver that newDriver makes. NewDriver is called for each case,
// with a directory of its own for what the driver keeps, and in several
// processes with the same directory for the cases that kill.
func Run(t *testing.T, newDriver func(t *testing.T, dir string) Setup) {
	if child(t, newDriver) {
		return
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			defer explain(t, c.why)
			w := newWorld(t, newDriver(t, scratch.Dir(t)))
			if c.traffic && w.NoTraffic {
				t.Skip("the driver moves no traffic")
			}
			c.run(w)
		})
	}
	t.Run("kill and resume", func(t *testing.T) {
		defer explain(t, "A process may be killed at any point of any operation. Resumed, the operation ends done, or reverted with nothing left over.")
		testKill(t, newDriver)
	})
}

func explain(t *testing.T, why string) {
	if t.Failed() {
		t.Log("the rule: " + why)
	}
}

// world is a Setup with servers and what the case has made.
type world struct {
	Setup
	t   *testing.T
	ctx context.Context
}

func newWorld(t *testing.T, s Setup) *world {
	t.Helper()
	if len(s.Amphorae) < 3 {
		t.Fatalf("distributortest needs three amphorae, and has %d", len(s.Amphorae))
	}
	if s.Listen == nil {
		s.Listen = net.Listen
	}
	if s.Dial == nil {
		s.Dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	t.Cleanup(cancel)
	return &world{Setup: s, t: t, ctx: ctx}
}

// amphora returns the i-th amphora.
func (w *world) amphora(i int) distributor.Amphora {
	return distributor.Amphora{ID: "a" + strconv.Itoa(i), Address: w.Amphorae[i]}
}

func (w *world) amphorae(is ...int) []distributor.Amphora {
	out := make([]distributor.Amphora, len(is))
	for n, i := range is {
		out[n] = w.amphora(i)
	}
	return out
}

func (w *world) vip() distributor.VIP {
	return distributor.VIP{ID: "vip", Address: w.VIP, Protocol: distributor.TCP,
		Ports: []distributor.PortMapping{{Front: frontPort, Back: backPort}}}
}

// flow returns an operation as a flow that can be run.
func (w *world) flow(n flow.Node) *flow.Flow { return flow.Linear("distributortest", n) }

// do runs an operation that must succeed.
func (w *world) do(n flow.Node, inputs ...flow.Value) *flow.Result {
	w.t.Helper()
	res, err := new(flow.Runner).Run(w.ctx, "run", w.flow(n), inputs...)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// fail runs an operation that must fail.
func (w *world) fail(n flow.Node, inputs ...flow.Value) error {
	w.t.Helper()
	_, err := new(flow.Runner).Run(w.ctx, "run", w.flow(n), inputs...)
	if err == nil {
		w.t.Fatalf("%v succeeded", flow.Requires(n))
	}
	return err
}

func (w *world) create(name string) string {
	w.t.Helper()
	id, _ := distributor.DistributorID.From(w.do(w.Driver.CreateDistributor(""), distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: name})))
	if id == "" {
		w.t.Fatal("no distributor id")
	}
	return id
}

func vipInputs(id string, v distributor.VIP) []flow.Value {
	return trial.VIP(id, v, distributor.AnyAlgorithm, distributor.NoPersistence)
}

func (w *world) addVIP(id string, v distributor.VIP) {
	w.t.Helper()
	w.do(w.Driver.AddVIP(""), vipInputs(id, v)...)
}

func (w *world) register(id string, amphorae ...int) {
	w.t.Helper()
	w.do(w.Driver.RegisterAmphorae(""), trial.Amphorae(id, w.amphorae(amphorae...)...)...)
}

func (w *world) drain(id string, amphorae ...int) {
	w.t.Helper()
	w.do(w.Driver.DrainAmphorae(""), trial.Amphorae(id, w.amphorae(amphorae...)...)...)
}

func (w *world) unregister(id string, amphorae ...int) {
	w.t.Helper()
	w.do(w.Driver.UnregisterAmphorae(""), trial.Amphorae(id, w.amphorae(amphorae...)...)...)
}

// inventory is what the driver says a distributor has, as text.
func (w *world) inventory(id string) string {
	w.t.Helper()
	status, err := distributor.DrainStatus(w.ctx, w.Driver, id)
	if errors.Is(err, distributor.ErrNoDrainStatus) {
		return "unknown"
	}
	var missing *distributor.NotFoundError
	if errors.As(err, &missing) {
		return "gone"
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, s := range status {
		text := s.ID + " " + s.Address.String()
		if s.Draining {
			text += " draining"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (w *world) wantInventory(id, want string) {
	w.t.Helper()
	if got := w.inventory(id); got != want && got != "unknown" {
		w.t.Errorf("the distributor has [%s], want [%s]", got, want)
	}
}

// items is the inventory of amphorae in service.
func (w *world) items(amphorae ...int) string {
	var out []string
	for _, a := range w.amphorae(amphorae...) {
		out = append(out, a.ID+" "+a.Address.String())
	}
	return strings.Join(out, ", ")
}

// serve starts the servers of all amphorae. Each says its ID to whoever
// connects, and then everything that it is told.
func (w *world) serve() {
	w.t.Helper()
	if w.NoTraffic {
		return
	}
	for i := range w.Amphorae[:3] {
		a := w.amphora(i)
		l, err := w.Listen("tcp", netip.AddrPortFrom(a.Address, backPort).String())
		if err != nil {
			w.t.Fatal(err)
		}
		var open sync.Map
		var conns sync.WaitGroup
		conns.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				open.Store(c, true)
				conns.Go(func() {
					defer open.Delete(c)
					defer c.Close()
					if _, err := fmt.Fprintln(c, a.ID); err == nil {
						_, _ = io.Copy(c, c)
					}
				})
			}
		})
		w.t.Cleanup(func() {
			l.Close()
			open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
			conns.Wait()
		})
	}
}

// client is an established connection and the amphora it leads to.
type client struct {
	net.Conn
	r       *bufio.Reader
	amphora string
}

// connect opens a connection through the VIP.
func (w *world) connect(port uint16) (*client, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	c, err := w.Dial(ctx, "tcp", netip.AddrPortFrom(w.VIP, port).String())
	if err != nil {
		return nil, err
	}
	cl := &client{Conn: c, r: bufio.NewReader(c)}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	line, err := cl.r.ReadString('\n')
	if err != nil {
		c.Close()
		return nil, err
	}
	cl.amphora = strings.TrimSpace(line)
	return cl, nil
}

// mustConnect is connect, tried until the amphora is one of those wanted.
func (w *world) mustConnect(port uint16, want ...string) *client {
	w.t.Helper()
	var last any
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c, err := w.connect(port)
		if err != nil {
			last = err
			continue
		}
		if len(want) == 0 || strings.Contains(" "+strings.Join(want, " ")+" ", " "+c.amphora+" ") {
			w.t.Cleanup(func() { c.Close() })
			return c
		}
		last = c.amphora
		c.Close()
	}
	w.t.Fatalf("no connection to %v in %v, last: %v", want, patience, last)
	return nil
}

// echo sends a line and waits for it to come back.
func (c *client) echo() error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(c, "are you there"); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	if err == nil && line != "are you there\n" {
		err = fmt.Errorf("came back as %q", line)
	}
	return err
}

// reached opens n connections and returns the amphorae they led to.
func (w *world) reached(port uint16, n int) (map[string]int, error) {
	got := map[string]int{}
	for range n {
		c, err := w.connect(port)
		if err != nil {
			return got, err
		}
		got[c.amphora]++
		c.Close()
	}
	return got, nil
}

// wantReached checks which amphorae new connections lead to.
func (w *world) wantReached(port uint16, amphorae ...int) {
	w.t.Helper()
	if w.NoTraffic {
		return
	}
	got, err := w.reached(port, 30)
	if err != nil {
		w.t.Errorf("a new connection failed: %v", err)
	}
	for _, i := range amphorae {
		if got[w.amphora(i).ID] == 0 {
			w.t.Errorf("of 30 connections none led to %s: %v", w.amphora(i).ID, got)
		}
		delete(got, w.amphora(i).ID)
	}
	if len(got) > 0 {
		w.t.Errorf("connections led elsewhere: %v", got)
	}
}

// wantRefused checks that the VIP takes no connections.
func (w *world) wantRefused(port uint16) {
	w.t.Helper()
	if w.NoTraffic {
		return
	}
	if c, err := w.connect(port); err == nil {
		w.t.Errorf("a connection was taken, to %s", c.amphora)
		c.Close()
	}
}
