package inprocess_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
)

func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	balance := func(ctx context.Context) error {
		d := inprocess.New(dir)
		defer d.Close()
		if err := d.Start(ctx); err != nil { // serves what dir knows of
			return err
		}
		create := flow.Linear("create", d.CreateDistributor(""))
		_, err := new(flow.Runner).Run(ctx, "create-web", create,
			distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}))
		return err
	}
	// The second time there is one already, and it stays the same.
	for range 2 {
		if err := balance(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	state, err := inprocess.New(dir).State(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range state.Sorted() {
		fmt.Println("a distributor of", d.LoadBalancer.ID)
	}
	// Output: a distributor of web
}
