"""Creates an RDS instance as `aws rds create-db-instance` and `aws rds wait db-instance-available` do, by the same API.

`python create_instance.py <identifier> <subnets> <vpc> <client security group>` waits until it is available, then
prints the host, the port and the master's password, one per line.
"""

import json
import sys
import time

import boto3

identifier, subnets, vpc, client_group = sys.argv[1:]
rds, ec2 = boto3.client("rds"), boto3.client("ec2")
rds.create_db_subnet_group(
    DBSubnetGroupName=identifier, DBSubnetGroupDescription="access graph", SubnetIds=subnets.split(",")
)
group = ec2.create_security_group(GroupName=identifier, Description="access graph", VpcId=vpc)["GroupId"]
ec2.authorize_security_group_ingress(
    GroupId=group,
    IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": client_group}]}
    ],
)
rds.create_db_instance(
    DBInstanceIdentifier=identifier,
    Engine="postgres",
    EngineVersion="17",
    DBInstanceClass="db.t4g.medium",
    AllocatedStorage=20,
    StorageEncrypted=True,
    MasterUsername="tag_admin",
    ManageMasterUserPassword=True,
    DBSubnetGroupName=identifier,
    VpcSecurityGroupIds=[group],
)
while True:
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    if instance["DBInstanceStatus"] == "available":
        break
    # AWS's own waiter polls every 30 s, which would be unfair where an instance takes seconds.
    time.sleep(0.5)
secret = boto3.client("secretsmanager").get_secret_value(SecretId=instance["MasterUserSecret"]["SecretArn"])
print(instance["Endpoint"]["Address"], instance["Endpoint"]["Port"], sep="\n")
print(json.loads(secret["SecretString"])["password"])
