// Package jujuc makes executable hook tools, so that charms in any language run
// against a simulated unit agent (package agent).
//
// Like Juju's own, they are one program under many names: it looks under which
// name it was called, passes arguments and standard input to the socket that
// the hook's environment names, and prints the answer.
//
//	tools := filepath.Join(dir, "tools")
//	if err := jujuc.Build(ctx, tools, agent.ToolNames(model.Juju3)); err != nil {
//		return err
//	}
//	a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "install", CharmDir: charm, ToolsDir: tools})
//	if err != nil {
//		return err
//	}
//	defer a.Close()
//	if err := a.Serve(filepath.Join(dir, "agent.socket")); err != nil {
//		return err
//	}
//	hook := exec.Command(filepath.Join(charm, "dispatch"))
//	hook.Env, hook.Dir = a.Env(), charm
//
// A program may also be its own hook tools, as Juju's agent once was, and needs
// no Go toolchain then: its main begins with
//
//	if name := filepath.Base(os.Args[0]); slices.Contains(agent.ToolNames(""), name) {
//		os.Exit(jujuc.Main(name, os.Args[1:]))
//	}
//
// and it calls [Link] with its own path.
package jujuc
