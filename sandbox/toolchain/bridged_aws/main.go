// The aws plugin: Terraform's provider of that name, bridged as the official one is, with the resources of this project.
//
// The provider is two, of Terraform's older and of its newer kit, and so is the bridge. Of what the official plugin adds
// for a resource there is here what these need: a name.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-provider-aws/xpprovider"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi-terraform-bridge/v3/unstable/metadata"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// Set by the linker.
var version string

// Terraform's name, and Pulumi's module and name.
var served = map[string]string{
	"aws_cloudwatch_log_group":            "cloudwatch/LogGroup",
	"aws_cloudwatch_metric_alarm":         "cloudwatch/MetricAlarm",
	"aws_db_event_subscription":           "rds/EventSubscription",
	"aws_db_instance":                     "rds/Instance",
	"aws_db_parameter_group":              "rds/ParameterGroup",
	"aws_db_subnet_group":                 "rds/SubnetGroup",
	"aws_eks_pod_identity_association":    "eks/PodIdentityAssociation",
	"aws_iam_role":                        "iam/Role",
	"aws_iam_role_policy":                 "iam/RolePolicy",
	"aws_iam_role_policy_attachment":      "iam/RolePolicyAttachment",
	"aws_kms_alias":                       "kms/Alias",
	"aws_kms_key":                         "kms/Key",
	"aws_security_group":                  "ec2/SecurityGroup",
	"aws_sns_topic":                       "sns/Topic",
	"aws_sns_topic_policy":                "sns/TopicPolicy",
	"aws_sns_topic_subscription":          "sns/TopicSubscription",
	"aws_vpc_security_group_ingress_rule": "vpc/SecurityGroupIngressRule",
}

// What the official plugin calls otherwise than the bridge would.
var renamed = map[string]map[string]*tfbridge.SchemaInfo{
	"aws_cloudwatch_metric_alarm": {"alarm_name": {Name: "name"}},
}

func main() {
	ctx := context.Background()
	info, err := provider(ctx)
	if err != nil {
		fail(err)
	}
	// What the making of the schema says stays here: the engine reads a port number from standard output.
	quiet := diag.DefaultSink(io.Discard, io.Discard, diag.FormatOptions{Color: colors.Never})
	generated, err := tfgen.GenerateSchema(ctx, tfgen.GenerateSchemaOptions{ProviderInfo: info, DiagnosticsSink: quiet})
	if err != nil {
		fail(err)
	}
	pf.MainWithMuxer(ctx, info.Name, info, generated.ProviderMetadata.PackageSchema)
}

func provider(ctx context.Context) (tfbridge.ProviderInfo, error) {
	program, err := os.Executable()
	if err != nil {
		return tfbridge.ProviderInfo{}, err
	}
	newer, older, err := xpprovider.GetProvider(ctx)
	if err != nil {
		return tfbridge.ProviderInfo{}, err
	}
	both := pf.MuxShimWithPF(ctx, shimv2.NewProvider(older), newer)
	info := tfbridge.ProviderInfo{
		P:            both,
		Name:         "aws",
		Version:      version,
		Resources:    map[string]*tfbridge.ResourceInfo{},
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
		// Where the documentation would be: without a directory, the bridge has Go fetch the provider for it.
		UpstreamRepoPath:               filepath.Dir(program),
		EnableZeroDefaultSchemaVersion: true,
		EnableRawStateDelta:            true,
		EnableAccurateBridgePreview:    true,
	}
	both.ResourcesMap().Range(func(name string, _ shim.Resource) bool {
		module, title, found := strings.Cut(served[name], "/")
		if !found {
			info.IgnoreMappings = append(info.IgnoreMappings, name)
			return true
		}
		file := strings.ToLower(title[:1]) + title[1:]
		info.Resources[name] = &tfbridge.ResourceInfo{
			Tok:    tokens.Type("aws:" + module + "/" + file + ":" + title),
			Fields: renamed[name],
		}
		return true
	})
	both.DataSourcesMap().Range(func(name string, _ shim.Resource) bool {
		info.IgnoreMappings = append(info.IgnoreMappings, name)
		return true
	})
	if len(info.Resources) != len(served) {
		return info, fmt.Errorf("the provider has %d of %d resources", len(info.Resources), len(served))
	}
	return info, dispatch(both, &info)
}

// dispatch notes which of the two providers has a resource, as a release has it noted beforehand.
func dispatch(both shim.Provider, info *tfbridge.ProviderInfo) error {
	resolver, ok := both.(interface {
		ResolveDispatch(*tfbridge.ProviderInfo) (muxer.DispatchTable, error)
	})
	if !ok {
		return fmt.Errorf("the bridge has no dispatch for %T", both)
	}
	table, err := resolver.ResolveDispatch(info)
	if err != nil {
		return err
	}
	return metadata.Set(info.GetMetadata(), "mux", table)
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "the aws plugin cannot start: %v\n", err)
	os.Exit(1)
}
