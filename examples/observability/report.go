package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// refused checks that the metrics of a unit are for those only that hold its
// client certificate.
func (d *drive) refused(ctx context.Context) error {
	server, err := d.prometheus()
	if err != nil {
		return err
	}
	targets, err := server.Targets(ctx, "")
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("there is no target")
	}
	stranger := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer stranger.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, targets[0].URL, nil)
	if err != nil {
		return err
	}
	response, err := stranger.Do(request)
	if err == nil {
		response.Body.Close()
		return fmt.Errorf("%s answers a stranger with %s", targets[0].URL, response.Status)
	}
	if !strings.Contains(err.Error(), "certificate required") {
		return fmt.Errorf("want the handshake to fail for want of a certificate: %w", err)
	}
	return nil
}

// report shows the state of things.
func (d *drive) report(ctx context.Context) error {
	d.say("\njuju status\n\n%s", strings.TrimRight(d.model.Status().String(), "\n"))

	server, err := d.prometheus()
	if err != nil {
		return err
	}
	targets, err := server.Targets(ctx, "")
	if err != nil {
		return err
	}
	d.say("\nWhat Prometheus scrapes, by the names of the jobs")
	for _, target := range targets {
		d.say("  %s\n    %s is %s", target.Pool, target.URL, target.Health)
	}

	d.reportLoad()

	page, err := d.page(ctx, d.leader())
	if err != nil {
		return err
	}
	d.say("\nThe page of %s, %s\n  %s", d.leader(), d.site.page(d.leader()), strings.ReplaceAll(strings.TrimSpace(page), "\n", "\n  "))

	unit, handler := d.leader(), "register scrape job"
	d.say("\nWhy the unit has a scrape job: juju exec --unit %s './dispatch explain %q'", unit, handler)
	result, err := d.model.Exec(ctx, unit, jujusim.ExecOptions{Run: func(ctx context.Context, p hooktool.Process) int {
		p.Args = []string{"explain", handler}
		return reactive.Run(ctx, charms()["web"], p)
	}})
	if err != nil {
		return err
	}
	if result.Code != 0 || result.Stdout == "" {
		return fmt.Errorf("cannot explain %q: %s%s", handler, result.Stdout, result.Stderr)
	}
	for line := range strings.Lines(result.Stdout) {
		d.say("%s", strings.TrimRight("  "+line, " \n"))
	}
	d.say("")
	return nil
}
