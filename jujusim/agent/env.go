package agent

import (
	"strconv"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// defaultPath is the PATH of a unit agent.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"

// Env is the environment of the charm's process, as KEY=value. It is the whole
// of it: Juju passes on nothing of its own. After [Agent.Serve] it holds the
// socket's address.
func (a *Agent) Env() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.m.Lock()
	defer a.m.Unlock()
	x, u := &a.x, a.m.Unit(a.x.Unit)
	if u == nil {
		u = &model.Unit{}
	}
	var env []string
	set := func(key, value string) { env = append(env, key+"="+value) }

	app := a.m.Application(x.Unit)
	name := a.m.Name
	if app != nil && app.ModelName != "" {
		name = app.ModelName
	}
	address := ""
	if a.server != nil {
		address = a.server.address
	}
	set("CHARM_DIR", x.CharmDir)
	set("JUJU_CHARM_DIR", x.CharmDir)
	set("JUJU_CONTEXT_ID", a.contextID)
	set("JUJU_HOOK_NAME", x.Hook)
	set("JUJU_AGENT_SOCKET_ADDRESS", address)
	set("JUJU_AGENT_SOCKET_NETWORK", "unix")
	set("JUJU_UNIT_NAME", x.Unit)
	set("JUJU_MODEL_UUID", a.modelUUID(app))
	set("JUJU_MODEL_NAME", name)
	set("JUJU_API_ADDRESSES", strings.Join(x.APIAddresses, " "))
	machine := u.Machine
	if a.m.Kubernetes() {
		machine = ""
	}
	set("JUJU_MACHINE_ID", machine)
	set("JUJU_PRINCIPAL_UNIT", u.Principal)
	set("JUJU_AVAILABILITY_ZONE", u.AvailabilityZone)
	set("JUJU_VERSION", a.m.JujuVersion())
	set("CLOUD_API_VERSION", "")
	a.proxyEnv(set)
	a.executionEnv(set)
	path := x.Path
	if path == "" {
		path = defaultPath
	}
	if x.ToolsDir != "" {
		path = x.ToolsDir + ":" + path
	}
	set("PATH", path)
	set("LANG", "C.UTF-8")
	set("TERM", "tmux-256color")
	set("APT_LISTCHANGES_FRONTEND", "none")
	set("DEBIAN_FRONTEND", "noninteractive")
	return env
}

func (a *Agent) proxyEnv(set func(key, value string)) {
	p := a.m.Proxy
	if p.No == "" {
		p.No = "127.0.0.1,localhost,::1"
	}
	set("JUJU_CHARM_HTTP_PROXY", p.HTTP)
	set("JUJU_CHARM_HTTPS_PROXY", p.HTTPS)
	set("JUJU_CHARM_FTP_PROXY", p.FTP)
	set("JUJU_CHARM_NO_PROXY", p.No)
	for _, legacy := range [][2]string{
		{"http_proxy", a.m.LegacyProxy.HTTP}, {"https_proxy", a.m.LegacyProxy.HTTPS},
		{"ftp_proxy", a.m.LegacyProxy.FTP}, {"no_proxy", a.m.LegacyProxy.No},
	} {
		if legacy[1] != "" {
			set(legacy[0], legacy[1])
			set(strings.ToUpper(legacy[0]), legacy[1])
		}
	}
	if a.m.Juju4() {
		set("JUJU_CHARM_TRACE_CONFIG_HTTP", "")
		set("JUJU_CHARM_TRACE_CONFIG_GRPC", "")
		set("JUJU_CHARM_TRACE_CONFIG_CA_CERT", "")
	} else {
		set("JUJU_SLA", "unsupported")
	}
}

func (a *Agent) executionEnv(set func(key, value string)) {
	x := &a.x
	switch {
	case x.Hook != "":
		set("JUJU_DISPATCH_PATH", "hooks/"+x.Hook)
	case x.Action != "":
		if !x.exec() {
			set("JUJU_DISPATCH_PATH", "actions/"+x.Action)
		}
		set("JUJU_ACTION_NAME", x.Action)
		set("JUJU_ACTION_UUID", x.ActionID)
		set("JUJU_ACTION_TAG", "action-"+x.ActionID)
	}
	if r := a.hookRelation; r != nil {
		local, _ := r.Local(x.Unit)
		set("JUJU_RELATION", local.Name)
		set("JUJU_RELATION_ID", r.RelationID(x.Unit))
		set("JUJU_REMOTE_UNIT", x.RemoteUnit)
		set("JUJU_REMOTE_APP", a.remoteApp)
		if x.DepartingUnit != "" {
			set("JUJU_DEPARTING_UNIT", x.DepartingUnit)
		}
	}
	if x.Workload != "" {
		set("JUJU_WORKLOAD_NAME", x.Workload)
	}
	if x.NoticeID != "" {
		set("JUJU_NOTICE_ID", x.NoticeID)
		set("JUJU_NOTICE_TYPE", x.NoticeType)
		set("JUJU_NOTICE_KEY", x.NoticeKey)
	}
	if x.CheckName != "" {
		set("JUJU_PEBBLE_CHECK_NAME", x.CheckName)
	}
	if x.TargetBase != "" {
		set("JUJU_TARGET_BASE", x.TargetBase)
		set("JUJU_TARGET_SERIES", x.TargetSeries)
	}
	if x.Secret != "" {
		set("JUJU_SECRET_ID", x.Secret)
		set("JUJU_SECRET_LABEL", x.SecretLabel)
		if x.SecretRevision > 0 {
			set("JUJU_SECRET_REVISION", strconv.Itoa(x.SecretRevision))
		}
	}
	if x.Storage != "" {
		if s := a.m.Unit(x.Unit).Storage[x.Storage]; s != nil {
			set("JUJU_STORAGE_ID", x.Storage)
			set("JUJU_STORAGE_LOCATION", s.Location)
			set("JUJU_STORAGE_KIND", s.Kind)
		}
	}
}
