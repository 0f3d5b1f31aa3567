package hooktool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/charmed-go/charms/hooktool"
)

// answers stands for Juju in the examples: it prints the calls it gets that
// change something, and answers those that read.
type answers map[string]string

func (a answers) Call(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
	out, ok := a[call.Tool]
	if text, failed := strings.CutPrefix(out, "ERROR "); failed {
		return hooktool.Result{Code: 1, Stderr: []byte("ERROR " + text + "\n")}, nil
	}
	if !ok || out == "" {
		line := append([]string{call.Tool}, call.Args...)
		if call.Stdin != nil {
			line = append(line, string(call.Stdin))
		}
		fmt.Println(strings.Join(line, " "))
	}
	return hooktool.Result{Stdout: []byte(out)}, nil
}

func (answers) Close() error { return nil }

// What this unit listens on, told to everybody related to it.
func Example() {
	juju := answers{
		"network-get":  `{"bind-addresses":[],"egress-subnets":[],"ingress-addresses":["10.0.0.10"]}`,
		"relation-ids": `["website:4","website:7"]`,
	}
	announce := func(ctx context.Context, tools *hooktool.Client) error {
		network, err := tools.Network(ctx, "website")
		if err != nil {
			return err
		}
		ids, err := tools.RelationIDs(ctx, "website")
		if err != nil {
			return err
		}
		for _, id := range ids {
			address := map[string]string{"hostname": network.IngressAddress(), "port": "8080"}
			if err := tools.RelationSet(ctx, id, address); err != nil {
				return err
			}
		}
		if err := tools.OpenPorts(ctx, hooktool.PortRange{From: 8080}); err != nil {
			return err
		}
		return tools.SetStatus(ctx, hooktool.StatusActive, "ready")
	}

	// In a hook: hooktool.Dial(ctx, hooktool.Process{Env: os.Environ(), Dir: dir}).
	tools := hooktool.New(juju)
	defer tools.Close()
	if err := announce(context.Background(), tools); err != nil {
		fmt.Println(err)
	}
	// Output:
	// relation-set -r website:4 --file - {"hostname": "10.0.0.10","port": "8080"}
	// relation-set -r website:7 --file - {"hostname": "10.0.0.10","port": "8080"}
	// open-port -- 8080/tcp
	// status-set -- active ready
}

func ExampleError() {
	tools := hooktool.New(answers{"relation-set": "ERROR cannot write relation settings"})
	err := tools.RelationSetApp(context.Background(), "db:1", map[string]string{"primary": "db/0"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, hooktool.ErrNotLeader))
	var e *hooktool.Error
	if errors.As(err, &e) {
		fmt.Printf("%s ended with %d\n", e.Tool, e.Code)
	}
	// Output:
	// cannot write application data in relation "db:1": relation-set: cannot write relation settings
	// true
	// relation-set ended with 1
}

func ExampleNewLogHandler() {
	tools := hooktool.New(answers{})
	log := slog.New(hooktool.NewLogHandler(tools, nil))
	log.Info("database is ready", "unit", "db/0", "version", "14 beta")
	log.Debug("not at this level")
	// Output:
	// juju-log -l INFO -- database is ready unit=db/0 version="14 beta"
}

// A secret is made, and its URI given to whoever may read it.
func ExampleClient_SecretAdd() {
	tools := hooktool.New(answers{"secret-add": "secret:d41k9m8cf42c738e1rtg\n"})
	ctx := context.Background()
	secret := hooktool.Secret{
		Label:   "db password",
		Content: map[string]string{"password": "correct horse"},
		Rotate:  hooktool.RotateMonthly,
	}
	uri, err := tools.SecretAdd(ctx, secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := tools.SecretGrant(ctx, uri, "db:1", ""); err != nil {
		fmt.Println(err)
	}
	if err := tools.RelationSetApp(ctx, "db:1", map[string]string{"secret": uri.String()}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(secret)
	// Output:
	// secret-grant -r db:1 -- secret:d41k9m8cf42c738e1rtg
	// relation-set -r db:1 --app --file - {"secret": "secret:d41k9m8cf42c738e1rtg"}
	// secret with label "db password" and 1 keys
}

func ExampleClient_StateGet() {
	tools := hooktool.New(answers{"state-get": "ERROR \"seen\" not found"})
	value, ok, err := tools.StateGet(context.Background(), "seen")
	fmt.Printf("%q %v %v\n", value, ok, err)
	// Output:
	// "" false <nil>
}

func ExampleParsePortRange() {
	p, err := hooktool.ParsePortRange("8000-8100/udp (db, web)")
	fmt.Println(p.From, p.To, p.Protocol, p.Endpoints, err)
	fmt.Println(hooktool.PortRange{From: 80})
	// Output:
	// 8000 8100 udp [db web] <nil>
	// 80/tcp
}
