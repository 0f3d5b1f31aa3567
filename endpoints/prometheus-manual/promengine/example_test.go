package promengine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/charmed-go/charms/endpoints/prometheus-manual/promengine"
)

func Example() {
	up := func(ctx context.Context) error {
		engine, err := promengine.Start(ctx, promengine.Options{ConfigFile: "prometheus.yml"})
		if err != nil {
			return err
		}
		defer engine.Close()
		samples, err := engine.Client().Query(ctx, "up")
		fmt.Println(samples)
		return err
	}
	if err := up(context.Background()); err != nil {
		log.Fatal(err)
	}
}
