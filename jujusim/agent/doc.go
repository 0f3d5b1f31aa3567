// Package agent plays Juju's unit agent for one execution of a charm: a hook, an
// action or the commands of juju-exec on one unit of a model (package model).
//
// It gives the charm its environment, runs every hook tool the way Juju's agent
// does, byte for byte, and at the end commits what the charm has written, or
// drops it:
//
//	m := &model.Model{
//		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d",
//		Applications: map[string]*model.Application{
//			"web": {
//				Leader: "web/0",
//				Config: map[string]*model.Option{"port": {Type: "int", Default: 80}},
//				Units:  map[string]*model.Unit{"web/0": {Machine: "0", Address: "10.0.0.1"}},
//			},
//		},
//	}
//	a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "config-changed"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer a.Close()
//	port, err := a.Call(ctx, hooktool.Call{Tool: "config-get", Args: []string{"--format=json", "port"}})
//	if err != nil {
//		log.Fatal(err)
//	}
//	if _, err := a.Call(ctx, hooktool.Call{Tool: "open-port", Args: []string{"80"}}); err != nil {
//		log.Fatal(err)
//	}
//	result, err := a.Finish(agent.Exit{Code: 0})
//	if err != nil {
//		log.Fatal(err)
//	}
//	fmt.Printf("%s%s: %v\n", port.Stdout, result.Outcome, m.Unit("web/0").OpenPorts())
//	// Output:
//	// 80
//	// committed: [80/tcp]
//
// Tools are called in process with [Agent.Call], over the socket that
// [Agent.Serve] opens, which speaks Juju's own protocol, or as executables (see
// package jujuc). One tool runs at a time, whoever calls.
//
// # What is written when
//
// Relation data, charm state, ports, secrets and storage are buffered and
// written by [Agent.Finish]. Status, leader settings, the workload version, log
// messages, and the revision and label that secret-get tracks are written at
// once and stay when the hook fails. What a tool has read of a bag, of the
// configuration or of the unit's status stays the same for the whole execution.
//
// # Versions of Juju
//
// The model says which Juju is played. Juju 4 has no leader-get and leader-set,
// lets a follower read its application's bag, commits all in one transaction,
// and words some errors differently. The texts are those recorded from Juju
// 3.6.28, where they are known, and from 4.0.15. Left out are the tools of
// Juju 3 for payloads and pod specifications, and juju-log's trace spans.
package agent
