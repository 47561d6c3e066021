#!/usr/bin/env bash
# Brings the endpoint [[ aws ]] to AWS. Read it first: an endpoint costs money for as long as it exists, asked or not.
# Nobody has run this file: it was written from the endpoint's configuration. The commands that delete everything are its last part.
set -euo pipefail
: "${ACCOUNT:?the number of your AWS account}" "${REGION:?as us-east-1}" "${BUCKET:?an S3 bucket}" "${ROLE:?the ARN of a SageMaker role}"
: "${LAMBDA_ROLE:?the ARN of a role that may call sagemaker:InvokeEndpoint}"
export AWS_REGION=$REGION
IMAGE=$ACCOUNT.dkr.ecr.$REGION.amazonaws.com/[[ aws|lower ]]:latest

if [ "${1:-}" != delete ]; then
# 1. image
aws ecr create-repository --repository-name [[ aws|lower ]]
aws ecr get-login-password | docker login --username AWS --password-stdin "${IMAGE%%/*}"
docker build --tag "$IMAGE" . && docker push "$IMAGE"

# 2. models, configuration, endpoint
[% for model in models %]
aws s3 cp models/[[ model.file ]].tar.gz "s3://$BUCKET/[[ aws ]]/"
aws sagemaker create-model --model-name [[ model.name ]] --execution-role-arn "$ROLE" \
  --primary-container "Image=$IMAGE,ModelDataUrl=s3://$BUCKET/[[ aws ]]/[[ model.file ]].tar.gz"
[% endfor %]
aws sagemaker create-endpoint-config --endpoint-config-name [[ aws ]] --production-variants '[[ variants ]]'
aws sagemaker create-endpoint --endpoint-name [[ aws ]] --endpoint-config-name [[ aws ]]
aws sagemaker wait endpoint-in-service --endpoint-name [[ aws ]]

# 3. function, API, page
(cd function && zip -q ../function.zip review.py)
aws lambda create-function --function-name [[ aws ]] --runtime python3.12 --handler review.handler --role "$LAMBDA_ROLE" --timeout 15 \
  --zip-file fileb://function.zip --environment "Variables={ENDPOINT_NAME=[[ aws ]]}"
API=$(aws apigatewayv2 create-api --name [[ aws ]] --protocol-type HTTP --route-key 'POST /predict' \
  --target "arn:aws:lambda:$REGION:$ACCOUNT:function:[[ aws ]]" --cors-configuration "AllowOrigins=${ORIGIN:-https://example.org},AllowMethods=POST,AllowHeaders=content-type" \
  --query ApiEndpoint --output text)
aws lambda add-permission --function-name [[ aws ]] --statement-id api --action lambda:InvokeFunction --principal apigateway.amazonaws.com
sed -i "s|{{GATEWAY}}|$API|; s|{{ABOUT}}|[[ aws ]]|" page/index.html
aws s3 sync page "s3://$BUCKET/[[ aws ]]-page/"
else
# 4. delete everything: `bash commands.sh delete`
aws sagemaker delete-endpoint --endpoint-name [[ aws ]]
aws sagemaker delete-endpoint-config --endpoint-config-name [[ aws ]]
[% for model in models %]
aws sagemaker delete-model --model-name [[ model.name ]]
[% endfor %]
aws lambda delete-function --function-name [[ aws ]]
aws apigatewayv2 delete-api --api-id "$(aws apigatewayv2 get-apis --query "Items[?Name=='[[ aws ]]'].ApiId" --output text)"
aws ecr delete-repository --repository-name [[ aws|lower ]] --force
aws s3 rm --recursive "s3://$BUCKET/[[ aws ]]/"
aws s3 rm --recursive "s3://$BUCKET/[[ aws ]]-page/"
fi
