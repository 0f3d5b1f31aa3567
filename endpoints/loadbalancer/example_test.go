package loadbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

type web struct{ lb *loadbalancer.Requirer }

func NewWeb() *reactive.Charm {
	charm := reactive.New("web")
	w := &web{lb: loadbalancer.NewRequirer(charm, "lb-provider")}
	charm.HandleLeader("ask for a load balancer", flags.When(w.lb.Available()), w.ask)
	charm.Handle("use the load balancer", flags.When(w.lb.ResponseChanged()), w.use)
	return charm
}

func (w *web) ask(ctx context.Context, l *reactive.Leader) error {
	request, err := w.lb.Request(ctx, l, "site")
	if err != nil {
		return err
	}
	request.Protocol = loadbalancer.HTTP
	request.PortMapping = map[int]int{80: 8080}
	return w.lb.Send(ctx, l, request) // publishes nothing if nothing changed
}

func (w *web) use(ctx context.Context, h *reactive.Hook) error {
	answer, ok, err := w.lb.Response(ctx, h, "site")
	if err != nil || !ok {
		return err
	}
	if answer.Err() != nil {
		return reactive.Blocked(answer.Err().Error())
	}
	h.SetStatus(reactive.Active("at " + answer.Address()))
	return w.lb.Acknowledge(ctx, h, "site")
}

type balancer struct{ lb *loadbalancer.Provider }

func NewBalancer() *reactive.Charm {
	charm := reactive.New("balancer")
	b := &balancer{lb: loadbalancer.NewProvider(charm, "lb-consumers")}
	charm.HandleLeader("serve", flags.When(b.lb.RequestsChanged()), b.serve)
	return charm
}

func (b *balancer) serve(ctx context.Context, l *reactive.Leader) error {
	for _, request := range b.lb.NewRequests() {
		response := loadbalancer.Succeed("192.0.2.1")
		if request.Protocol == loadbalancer.UDP {
			response = loadbalancer.Reject(map[loadbalancer.Field]string{
				loadbalancer.FieldProtocol: "supported: tcp, http, https",
			})
		} else if err := b.balance(request); err != nil {
			response = loadbalancer.Fail(err)
		}
		if err := b.lb.Respond(ctx, l, request, response); err != nil {
			return err
		}
	}
	for _, removed := range b.lb.Removed() {
		if err := b.takeAway(removed.RelationID, removed.Name); err != nil {
			return err
		}
		if err := b.lb.RevokeRemoved(ctx, l, removed); err != nil {
			return err
		}
	}
	return nil
}

// balanced stands for what really balances load: the backends of each request.
var balanced = make(map[string][]string)

func (b *balancer) balance(request *loadbalancer.Incoming) error {
	balanced[request.Name()] = request.Backends
	return nil
}

func (b *balancer) takeAway(relation int, name string) error {
	delete(balanced, name)
	return nil
}

// The two charms of the package's tour meet in a simulated Juju, and part.
func Example() {
	ctx := context.Background()
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	deploy := func(name, metadata string, newCharm func() *reactive.Charm) {
		err := m.Deploy(name, jujusim.Charm{
			Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("{name: " + name + ", summary: s, description: d, " + metadata + "}")}},
			Run:   reactive.Program(newCharm),
		}, jujusim.DeployOptions{})
		if err != nil {
			fmt.Println(err)
		}
	}
	settle := func() {
		if err := m.Settle(ctx); err != nil {
			fmt.Println(err)
		}
	}
	deploy("web", "requires: {lb-provider: {interface: loadbalancer}}", NewWeb)
	deploy("balancer", "provides: {lb-consumers: {interface: loadbalancer}}", NewBalancer)
	if _, err := m.Relate("web:lb-provider", "balancer:lb-consumers"); err != nil {
		fmt.Println(err)
	}
	settle()
	unit, _ := m.Status().Unit("web/0")
	fmt.Println(unit.Name, "is", unit.Workload, unit.Message, "with", balanced)
	if err := m.RemoveRelation("web:lb-provider", "balancer:lb-consumers"); err != nil {
		fmt.Println(err)
	}
	settle()
	fmt.Println("without the relation there is", balanced)
	// Output:
	// web/0 is active at 192.0.2.1 with map[site:[10.0.0.10]]
	// without the relation there is map[]
}

// A request is what is published, and a hash by which it is known.
func ExampleRequest() {
	request := loadbalancer.NewRequest("0123456789abcdef0123456789abcdef", "site")
	request.Protocol = loadbalancer.HTTP
	request.PortMapping = map[int]int{80: 8080}
	request.TLSKey = new(loadbalancer.Secret("-----BEGIN PRIVATE KEY-----"))
	fmt.Println(request, *request.TLSKey)

	request.Protocol = ""
	fmt.Println(request.Validate())
	// Output:
	// request "site" (0123456789abcdef0123456789abcdef) [secret]
	// the request is not valid: protocol: Field may not be null
}

// A response succeeds, rejects what is not supported, or fails.
func ExampleResponse() {
	for _, response := range []loadbalancer.Response{
		loadbalancer.Succeed("192.0.2.1"),
		loadbalancer.Reject(map[loadbalancer.Field]string{loadbalancer.FieldProtocol: "supported: tcp, http, https"}),
		loadbalancer.Fail(errors.New("haproxy does not start")),
	} {
		fmt.Println(response.OK(), response)
	}
	// Output:
	// true load balancer at 192.0.2.1
	// false unsupported; protocol: supported: tcp, http, https
	// false provider error: haproxy does not start
}
